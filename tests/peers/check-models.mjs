// `node check-models.mjs asyncapi|dtdl|nodeset FILE...` reads models with the libraries of others, and prints a JSON object
// for each: {"file": …, "found": N, "problems": [...]}.
import { readFileSync } from "node:fs";

const problemsOf = {
  async asyncapi(files) {
    const { Parser } = await import("@asyncapi/parser");
    const parser = new Parser();
    for (const file of files) {
      const { document, diagnostics } = await parser.parse(readFileSync(file, "utf8"));
      const problems = diagnostics.filter((each) => each.code !== "asyncapi-latest-version");
      tell(file, document?.operations().all().length ?? 0, problems.map((each) => `${each.path.join("/")}: ${each.message}`));
    }
  },
  async dtdl(files) {
    const { getInterop } = await import("@digicatapult/dtdl-parser");
    const parser = await getInterop();
    for (const file of files) {
      try {
        const found = Object.values(JSON.parse(parser.parse(readFileSync(file, "utf8"))));
        tell(file, found.filter((each) => each.EntityKind === "Telemetry").length, []);
      } catch (error) {
        tell(file, 0, [String(error)]);
      }
    }
  },
  async nodeset(files) {
    const { default: opcua } = await import("node-opcua");
    for (const file of files) {
      const space = opcua.AddressSpace.create();
      try {
        await opcua.generateAddressSpace(space, [opcua.nodesets.standard, file]);
        let variables = 0;
        for (const namespace of space.getNamespaceArray().slice(1)) {
          for (const node of namespace.nodeIterator()) {
            variables += node.nodeClass === opcua.NodeClass.Variable && node.typeDefinition.toString() !== "ns=0;i=68";
          }
        }
        tell(file, variables, []);
      } catch (error) {
        tell(file, 0, [String(error)]);
      } finally {
        space.dispose();
      }
    }
  },
};

function tell(file, found, problems) {
  console.log(JSON.stringify({ file, found, problems }));
}

const [kind, ...files] = process.argv.slice(2);
console.debug = console.warn = () => {};
await problemsOf[kind](files);
process.exit(0);
