// The desk: asks the server for rendered parts and reports outcomes. Keeps nothing after the page is closed.
"use strict";
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const csrf = $('meta[name="csrf"]').content;
const customer = $("#customer"), actions = $("#actions"), status = $("#status");
const find = $("#find"), kind = $("#kind"), value = $("#value"), situation = $("#situation");
const DONE = { presented: "Presented", accepted: "Accepted", declined: "Declined", skipped: "Skipped" };
let current = null;
let latest = 0;
let ranking = "";

function say(text, tone = "") {
  status.textContent = text;
  status.className = "status " + tone;
}

async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  });
  if (answer.status === 401) location.reload();
  return answer;
}

async function show(place, path, body) {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await send(path, body);
    if (!answer.ok) {
      const problem = await answer.json();
      throw new Error(problem.detail);
    }
    return await answer.text();
  } finally {
    place.removeAttribute("aria-busy");
  }
}

function put(place, html) {
  place.innerHTML = html;
  for (const time of $$("time[datetime]", place)) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

function context() {
  const said = {};
  for (const field of ["reason", "topic"]) {
    const text = situation.elements[field].value.trim();
    if (text) said[field] = text;
  }
  return said;
}

async function rank() {
  const mine = ++latest;
  const asked = { profile: current, context: context() };
  ranking = JSON.stringify(asked);
  let html = "";
  try {
    html = await show(actions, "/desk/actions", asked);
  } finally {
    if (mine === latest) ranking = "";
  }
  if (mine !== latest) return;
  put(actions, html);
  const first = $(".action", actions);
  if (first) choose(first);
}

async function describe() {
  const asked = current;
  const html = await show(customer, "/desk/customer", { profile: asked });
  if (asked === current) put(customer, html);
}

async function open(reference) {
  current = reference;
  say("Looking …");
  try {
    await Promise.all([describe(), rank()]);
    say("");
  } catch (error) {
    say(error.message, "bad");
  }
}

function choose(card, focus = false) {
  for (const other of $$(".action", actions)) other.classList.toggle("chosen", other === card);
  if (focus) card.focus({ preventScroll: false });
}

function mark(card, outcome) {
  card.dataset.done = outcome;
  const badge = $(".outcome", card);
  badge.textContent = DONE[outcome];
  badge.hidden = false;
  for (const button of $$("button", card)) button.setAttribute("aria-pressed", String(button.dataset.outcome === outcome));
}

async function report(card, outcome) {
  const decision_id = $(".slate", actions).dataset.decision;
  const said = { decision_id, action_id: card.dataset.action };
  const outcomes = [];
  const answered = outcome === "accepted" || outcome === "declined";
  if (answered && !card.dataset.shown) outcomes.push({ ...said, outcome: "presented" });
  outcomes.push(outcome === "skipped" ? { ...said, outcome, reason: $("#skip-reason").value } : { ...said, outcome });
  const before = card.dataset.done;
  mark(card, outcome);
  try {
    const answer = await send("/v1/outcomes", { outcomes });
    const taken = await answer.json();
    if (!answer.ok) throw new Error(taken.detail);
    if (taken.rejected.length) throw new Error(taken.rejected[0].message);
    if (outcome !== "skipped") card.dataset.shown = "yes";
    say(`${DONE[outcome]}: ${$("h3", card).textContent}`, "good");
    setTimeout(() => describe().catch(() => {}), 400);
  } catch (error) {
    if (before) mark(card, before);
    else {
      $(".outcome", card).hidden = true;
      delete card.dataset.done;
    }
    say(`Not recorded: ${error.message}`, "bad");
  }
}

function fromFragment() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const [name, text] of said) {
    const known = [...kind.options].some((option) => option.value === name);
    if (known && text) {
      kind.value = name;
      value.value = text;
      open(`${name}:${text}`);
      return;
    }
  }
}

find.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = value.value.trim();
  if (!text) return value.focus();
  const [prefix] = text.split(":", 1);
  const complete = text.includes(":") && [...kind.options].some((option) => option.value === prefix);
  open(complete ? text : `${kind.value}:${text}`);
  value.blur();
});

function guessKind() {
  const text = value.value.trim();
  if (text.includes("@")) kind.value = "email";
  else if (/^\+\d/.test(text)) kind.value = "phone";
}
value.addEventListener("input", guessKind);

situation.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!current) return say("Find a customer first.", "bad");
  document.activeElement.blur();
  // Enter in a field is both a change and a submit: one question is enough
  if (ranking === JSON.stringify({ profile: current, context: context() })) return;
  rank().then(() => say("Ranked again."), (error) => say(error.message, "bad"));
});
for (const field of ["reason", "topic"]) {
  situation.elements[field].addEventListener("change", () => current && situation.requestSubmit());
}

actions.addEventListener("click", (event) => {
  const card = event.target.closest(".action");
  if (!card) return;
  choose(card);
  const button = event.target.closest("button[data-outcome]");
  if (button) report(card, button.dataset.outcome);
});
actions.addEventListener("focusin", (event) => {
  const card = event.target.closest(".action");
  if (card) choose(card);
});

const OUTCOMES = { p: "presented", a: "accepted", d: "declined", s: "skipped" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing) return;
  const chosen = $(".action.chosen", actions);
  const numbered = /^[1-9]$/.test(event.key) && $(`.action[data-key="${event.key}"]`, actions);
  if (event.key === "/") value.select();
  else if (event.key === "r") situation.elements.reason.select();
  else if (numbered) choose(numbered, true);
  else if (OUTCOMES[event.key] && chosen) report(chosen, OUTCOMES[event.key]);
  else return;
  event.preventDefault();
});

addEventListener("hashchange", fromFragment);
guessKind(); // somebody may have typed before this script was there
fromFragment();
