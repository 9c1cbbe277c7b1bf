// Reads a JSON list of Mermaid sources on stdin, writes a JSON list of the reasons why each does not
// parse (null where it does). Runs the bundle that browsers load, so its one argument is all it needs.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const bundle = readFileSync(process.argv[2], "utf8");
const context = vm.createContext({ console, setTimeout, clearTimeout, structuredClone, URL });
// The least of a browser that the bundle asks for while it loads; parsing draws nothing.
vm.runInContext(
  `var window = globalThis, self = globalThis;
   window.addEventListener = () => {};
   window.Element = class {};
   window.document = { nodeType: 9, implementation: {}, createElement: () => ({}) };`,
  context,
);
vm.runInContext(bundle, context);

const reasons = [];
for (const source of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await context.mermaid.parse(source);
    reasons.push(null);
  } catch (error) {
    reasons.push(String(error.message ?? error));
  }
}
console.log(JSON.stringify(reasons));
