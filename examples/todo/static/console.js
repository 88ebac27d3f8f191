// A small GraphQL console that needs nothing from another host.

const EXAMPLES = {
  "List": { query: "query List {\n  list {\n    id\n    text\n    done\n  }\n}" },
  "Create": { query: "mutation Create($text: String!) {\n  createTask(text: $text) {\n    id\n    text\n    done\n  }\n}", variables: { text: "Water the plants" } },
  "Update": { query: "mutation Update($id: String!, $text: String!, $done: Boolean!) {\n  updateTask(id: $id, text: $text, done: $done) {\n    id\n    text\n    done\n  }\n}", variables: { id: "?", text: "Water the plants", done: true } },
  "Delete": { query: "mutation Delete($id: String!) {\n  deleteTask(id: $id)\n}", variables: { id: "?" } },
};

const INTROSPECTION = `query Schema { __schema {
  queryType { name } mutationType { name }
  types { kind name description fields { name description type { ...T } args { name type { ...T } } } }
} }
fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`;

const get = (id) => document.getElementById(id);
const query = get("query");
const variables = get("variables");
let latestId = null; // of a task seen in an answer, to fill into the examples

async function send(body) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

function tell(text, bad = false) {
  get("state").textContent = text;
  get("state").classList.toggle("bad", bad);
}

async function run() {
  let values;
  try {
    values = variables.value.trim() ? JSON.parse(variables.value) : undefined;
  } catch (error) {
    tell(`The variables are not JSON: ${error.message}`, true);
    variables.focus();
    return;
  }
  tell("Running");
  const start = performance.now();
  try {
    const answer = await send({ query: query.value, variables: values });
    const errors = (answer.errors ?? []).length || (answer.data === undefined ? 1 : 0);
    tell(`${errors ? `${errors} error${errors > 1 ? "s" : ""}, ` : ""}${Math.round(performance.now() - start)} ms`, errors > 0);
    latestId = findId(answer.data) ?? latestId;
    show(answer);
  } catch {
    tell("The server cannot be reached", true);
  }
}

function findId(value) {
  if (value === null || typeof value !== "object") return null;
  if (!Array.isArray(value) && typeof value.id === "string") return value.id;
  return Object.values(value).reduceRight((found, each) => found ?? findId(each), null);
}

// The answer, coloured. Every part is inserted as text.
function show(answer) {
  const parts = JSON.stringify(answer, null, 2).split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?)/);
  get("result").replaceChildren(
    ...parts.map((part, index) => {
      if (index % 2 === 0) return document.createTextNode(part);
      const kind = part.endsWith(":") ? "key" : part.startsWith('"') ? "text" : "atom";
      return element("span", part, kind);
    }),
  );
}

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// -- The schema, from introspection --

function typeName(type) {
  if (type.kind === "NON_NULL") return `${typeName(type.ofType)}!`;
  if (type.kind === "LIST") return `[${typeName(type.ofType)}]`;
  return type.name;
}

function fieldLine(field) {
  const line = element("p", field.name);
  if (field.args.length) {
    const text = field.args.map((argument) => `${argument.name}: ${typeName(argument.type)}`).join(", ");
    line.append(element("span", `(${text})`, "argument"));
  }
  line.append(": ", element("span", typeName(field.type), "type"));
  if (field.description) line.append(element("small", field.description));
  return line;
}

async function showSchema() {
  const docs = get("docs");
  try {
    const { __schema: schema } = (await send({ query: INTROSPECTION })).data;
    const roots = [schema.queryType.name, schema.mutationType.name];
    const rank = (type) => (roots.includes(type.name) ? roots.indexOf(type.name) : roots.length);
    const types = schema.types.filter((type) => type.fields && !type.name.startsWith("__"));
    docs.replaceChildren();
    for (const type of types.sort((a, b) => rank(a) - rank(b))) {
      docs.append(element("h3", `type ${type.name}`), ...type.fields.map(fieldLine));
    }
  } catch {
    docs.textContent = "The schema could not be read.";
  }
}

// -- The person --

for (const [name, example] of Object.entries(EXAMPLES)) {
  const button = element("button", name);
  button.type = "button";
  button.addEventListener("click", () => {
    query.value = example.query;
    const values = example.variables && { ...example.variables };
    if (values?.id) values.id = latestId ?? values.id;
    variables.value = values ? JSON.stringify(values, null, 2) : "";
    query.focus();
  });
  get("examples").append(button);
}

get("run").addEventListener("click", run);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  run();
});

query.value = EXAMPLES.List.query;
showSchema();
