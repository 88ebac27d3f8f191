// The list of accounts. Rows stay while they are shown, so that what is typed or focused in them does.

const ALLOWED = {
  opened: ["order", "activate", "archive"],
  active: ["order", "suspend"],
  suspended: ["order", "activate", "archive"],
  archived: ["order"],
};

const template = (id) => document.getElementById(id).content;

export class Accounts {
  constructor(does) {
    this.does = does; // change(account, name, reason), order(account, item, quantity): promises
    this.root = document.getElementById("accounts");
    this.rows = new Map(); // id -> Row
  }

  show(accounts, standings) {
    const shown = new Set(accounts.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (!shown.has(id) && !row.busy) {
        row.root.remove();
        this.rows.delete(id);
      }
    }
    let before = null;
    for (const account of accounts) {
      const row = this.rows.get(account.id) ?? this.add(account);
      row.show(account, standings.get(account.id));
      const place = before ? before.nextElementSibling : this.root.firstElementChild;
      if (row.root !== place) this.root.insertBefore(row.root, place);
      before = row.root;
    }
  }

  add(account) {
    const row = new Row(account, this.does);
    this.rows.set(account.id, row);
    return row;
  }
}

class Row {
  constructor(account, does) {
    this.account = account;
    this.does = does;
    this.busy = false;
    this.root = template("account-template").firstElementChild.cloneNode(true);
    this.form = this.find(".inline");
    this.action = "";
    this.find(".id").textContent = account.id;
    this.find(".actions").addEventListener("click", (event) => this.start(event.target.closest("button")?.dataset.action));
    this.form.addEventListener("click", (event) => event.target.dataset.action === "cancel" && this.close());
    this.form.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  find(query) {
    return this.root.querySelector(query);
  }

  show(account, known) {
    this.account = account;
    text(this.find(".title"), account.name);
    chip(this.find(".mine"), account.status, account.status);
    const arrived = (known?.revision ?? 0) >= account.revision;
    this.root.dataset.arrived = arrived;
    chip(this.find(".theirs"), known ? known.standing : "unknown", known ? `orders: ${known.standing}` : "orders: unknown");
    this.find(".theirs").title = arrived
      ? `The order service knows revision ${known.revision}`
      : `On its way to the order service: revision ${account.revision}`;
    for (const button of this.root.querySelectorAll(".actions button")) {
      const held = button === document.activeElement;
      button.hidden = !ALLOWED[account.status].includes(button.dataset.action);
      button.setAttribute("aria-label", `${button.textContent}: ${account.name}`);
      if (held && button.hidden) this.focus(); // the button goes, the focus must not
    }
    this.history();
  }

  history() {
    const list = this.find(".history ol");
    const changes = this.account.changes;
    if (list.dataset.revision === String(this.account.revision)) return;
    list.dataset.revision = this.account.revision;
    list.replaceChildren(
      ...changes.map(({ status, revision, at, reason }) => {
        const item = document.createElement("li");
        const when = document.createElement("time");
        when.dateTime = at;
        when.textContent = new Date(at).toLocaleString();
        item.append(`${revision}. ${status}${reason ? `: ${reason}` : ""} `, when);
        return item;
      }),
    );
  }

  start(action) {
    if (!action) return;
    if (action === "activate") {
      if (!this.busy) this.run(() => this.does.change(this.account, "activate", ""));
      return;
    }
    this.action = action;
    this.form.replaceChildren(template(action === "order" ? "order-template" : "reason-template").cloneNode(true));
    if (action !== "order") this.form.querySelector(".primary").textContent = action === "suspend" ? "Suspend" : "Archive";
    this.form.hidden = false;
    this.fail("");
    this.form.querySelector("input").focus();
  }

  submit() {
    const { reason, item, quantity } = Object.fromEntries(new FormData(this.form));
    const { action } = this;
    if (action === "order" && !item.trim()) return this.fail("Write what is ordered.");
    if (action === "suspend" && !reason.trim()) return this.fail("Say why: whoever looks at it later will want to know.");
    return this.run(async () => {
      if (action === "order") await this.does.order(this.account, item.trim(), Number(quantity));
      else await this.does.change(this.account, action, reason.trim());
      this.close();
    });
  }

  async run(work) {
    if (this.busy) return;
    this.busy = true;
    this.root.setAttribute("aria-busy", "true");
    this.fail("");
    try {
      await work();
    } catch (problem) {
      this.fail(problem.message);
    } finally {
      this.busy = false;
      this.root.removeAttribute("aria-busy");
    }
  }

  close() {
    this.form.hidden = true;
    this.form.replaceChildren();
    this.fail("");
    this.focus();
  }

  focus() {
    (this.find(`.actions [data-action="${this.action}"]:not([hidden])`) ?? this.find(".actions button:not([hidden])"))?.focus();
  }

  fail(message) {
    const error = this.find(".error");
    error.textContent = message;
    error.hidden = !message;
  }
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function chip(element, status, words) {
  element.dataset.status = status;
  text(element, words);
}
