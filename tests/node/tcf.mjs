// The IAB's own TCF library, asked line by line: {"op": "encode", "value": model} gives a string, {"op": "decode",
// "value": string} gives what the library reads in it.
import { GVL, PurposeRestriction, TCModel, TCString } from "@iabtechlabtcf/core";
import { answer } from "./lines.mjs";

const EVERY = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const VENDORS = 1000;

function named(count) {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [i + 1, { id: i + 1, name: "", description: "", illustrations: [] }]));
}

// a list in which nothing that a test encodes is filtered out again
function list() {
  const declared = { purposes: EVERY, legIntPurposes: EVERY, flexiblePurposes: EVERY, specialPurposes: [], features: [], specialFeatures: [] };
  const vendors = Array.from({ length: VENDORS }, (_, i) => [i + 1, { id: i + 1, name: `v${i + 1}`, ...declared, policyUrl: "" }]);
  return new GVL({
    gvlSpecificationVersion: 3, vendorListVersion: 150, tcfPolicyVersion: 5, lastUpdated: "2026-01-01T00:00:00Z",
    purposes: named(11), specialPurposes: {}, features: {}, specialFeatures: named(2), stacks: {},
    vendors: Object.fromEntries(vendors),
  });
}

const VECTORS = [
  "specialFeatureOptins", "purposeConsents", "purposeLegitimateInterests", "vendorConsents", "vendorLegitimateInterests",
  "vendorsDisclosed", "vendorsAllowed", "publisherConsents", "publisherLegitimateInterests", "publisherCustomConsents",
  "publisherCustomLegitimateInterests",
];
const PLAIN = ["cmpId", "cmpVersion", "consentScreen", "isServiceSpecific", "useNonStandardTexts", "purposeOneTreatment", "publisherCountryCode"];
const gvl = list();

function encode(asked) {
  const model = new TCModel(gvl);
  for (const name of PLAIN) model[name] = asked[name];
  model.created = new Date(asked.created);
  model.lastUpdated = new Date(asked.lastUpdated);
  model.numCustomPurposes = asked.numCustomPurposes;
  for (const name of VECTORS) model[name].set(asked[name]);
  for (const [purpose, type, vendors] of asked.restrictions) {
    for (const vendor of vendors) model.publisherRestrictions.add(vendor, new PurposeRestriction(purpose, type));
  }
  return TCString.encode(model, { segments: asked.segments });
}

function ids(vector) {
  const found = [];
  vector.forEach((has, id) => { if (has) found.push(id); });
  return found;
}

function decode(string) {
  const model = TCString.decode(string);
  const found = Object.fromEntries(PLAIN.map((name) => [name, model[name]]));
  for (const name of VECTORS) found[name] = ids(model[name]);
  found.created = model.created.getTime();
  found.lastUpdated = model.lastUpdated.getTime();
  found.language = model.consentLanguage;
  found.vendorList = model.vendorListVersion;
  found.policy = model.policyVersion;
  found.version = model.version;
  found.restrictions = model.publisherRestrictions.getRestrictions().map((one) => [
    one.purposeId, one.restrictionType, model.publisherRestrictions.getVendors(one),
  ]);
  return found;
}

await answer({ encode, decode });
