// The state of the functions: where each is in its log, and what is still to be sent.

const NAMES = ["commands", "processor", "queries", "orders"];

// Answers what each said, null for those that did not.
export async function showFunctions(ask) {
  const answers = await Promise.all(NAMES.map((name) => ask(name).catch(() => null)));
  NAMES.forEach((name, index) => show(document.querySelector(`.function[data-name=${name}]`), answers[index]));
  return Object.fromEntries(NAMES.map((name, index) => [name, answers[index]]));
}

function show(card, said) {
  const [state, words] = told(said);
  card.dataset.state = state;
  set(card.querySelector(".state"), words);
  for (const value of card.querySelectorAll("[data-value]")) {
    const name = value.dataset.value;
    set(value, String((name === "pending" ? said?.reactor?.pending : said?.[name]) ?? "–"));
  }
}

function told(said) {
  if (!said) return ["down", "not reachable"];
  if (said.state === "stopped" || said.reactor?.state === "stopped") return ["down", "stopped"];
  if (said.reactor?.failed) return ["behind", `${said.reactor.failed} not sent`];
  if (said.lag || said.reactor?.pending) return ["behind", "catching up"];
  return ["up", "running"];
}

function set(element, value) {
  if (element.textContent !== value) element.textContent = value;
}
