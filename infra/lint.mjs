// Checks synthesized templates: node lint.mjs TEMPLATE...
//
// Guard rules of our own (rules/hookferry.guard), with the evaluator that comes
// with the CDK, after a look that each of them bites; then cdk-nag's
// AwsSolutions pack, each suppression justified in rules/nag.json and still
// needed by one of the templates.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const cdk = require("aws-cdk-lib");
const { CfnInclude } = require("aws-cdk-lib/cloudformation-include");
const { AwsSolutionsChecks } = require("cdk-nag");
// The evaluator is a package inside the library.
const { CompositeEngine, RuleFile, TemplateFile } =
  createRequire(require.resolve("aws-cdk-lib"))("@aws/cloudformation-validate");

const here = (name) => new URL(name, import.meta.url).pathname;
const templates = process.argv.slice(2);
const problems = [];
if (templates.length === 0) problems.push("no template to check");

const guard = here("rules/hookferry.guard");
const names = [...readFileSync(guard, "utf8").matchAll(/^rule (\w+)/gm)].map((m) => m[1]);
const engine = new CompositeEngine({ guardRules: [new RuleFile(guard)] });
const findings = (file) => engine.validateTemplate(new TemplateFile(file)).diagnostics;
const bites = new Set(findings(here("rules/bad.template.json")).map((d) => d.ruleId));
for (const name of names) {
  if (!bites.has(name)) problems.push(`rule ${name} lets pass what is against it`);
}
for (const file of templates) {
  for (const d of findings(file)) {
    if (names.includes(d.ruleId) || /^(ERROR|FATAL)$/i.test(d.severity)) {
      problems.push(`${file}: ${d.ruleId}: ${d.message} (${d.entity?.logicalId ?? ""})`);
    }
  }
}
engine.free();

const suppressions = JSON.parse(readFileSync(here("rules/nag.json"), "utf8"));
const needed = new Set();
for (const s of suppressions) {
  if (!(s.reason?.length > 30)) problems.push(`${s.rule}: a suppression needs its reason in words`);
}
const open = new Set();
for (const file of templates) {
  const out = mkdtempSync(join(tmpdir(), "nag-"));
  try {
    const app = new cdk.App({ outdir: out, analyticsReporting: false });
    const stack = new cdk.Stack(app, "Template", { synthesizer: new cdk.LegacyStackSynthesizer() });
    new CfnInclude(stack, "Include", { templateFile: file });
    const report = new AwsSolutionsChecks(app, { verbose: false }).validate({
      appConstruct: app, app, templatePaths: [file], stacks: [stack],
    });
    for (const v of report.violations ?? []) {
      for (const r of v.violatingConstructs ?? v.violatingResources ?? []) {
        const id = r.resourceLogicalId ?? r.constructPath?.split("/").pop();
        const s = suppressions.find((s) => s.rule === v.ruleName && s.resources.some((re) => new RegExp(`^${re}$`).test(id)));
        if (s) needed.add(s);
        else open.add(`${file}: ${v.ruleName} on ${id}: ${v.description}`);
      }
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
problems.push(...open);
if (templates.length > 0) {
  for (const s of suppressions) {
    if (!needed.has(s)) problems.push(`${s.rule}: the suppression is needed no more`);
  }
}

for (const p of problems) console.error(p);
if (problems.length > 0) process.exit(1);
console.log(`${templates.length} templates: ${names.length} rules of our own hold, and AwsSolutions with ${suppressions.length} suppressions`);
