// JSON lines in, JSON lines out: what a line cannot be answered with is `null`.
import { createInterface } from "node:readline";

export async function answer(operations) {
  const out = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, value } = JSON.parse(line);
    let found = null;
    try {
      found = operations[op](value);
    } catch {
      found = null;
    }
    out.push(JSON.stringify(found));
  }
  process.stdout.write(out.join("\n") + "\n");
}
