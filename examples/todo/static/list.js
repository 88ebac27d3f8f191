// The task list on the page. It is drawn from tasks, and changes only the rows that differ: whoever is typing in a
// row, or has the focus there, keeps it, whatever arrives from other windows.

const SAME = { tick: ".tick", text: ".text, .editor", delete: ".delete" };

export class TaskList {
  constructor(on) {
    this.on = on; // { tick(id, done), edit(id, text) -> error or undefined, remove(id), point(id), leave() }
    this.root = document.getElementById("list");
    this.template = document.getElementById("task-template");
    this.rows = new Map(); // id -> { li, task, editor }
    this.drawn = false;
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.root.addEventListener("change", (event) => this.changed(event));
    this.root.addEventListener("keydown", (event) => this.keyed(event));
    this.root.addEventListener("focusout", (event) => this.left(event));
    for (const type of ["mouseover", "focusin"]) this.root.addEventListener(type, (event) => on.point(this.idOf(event.target)));
    for (const type of ["mouseleave", "focusout"]) this.root.addEventListener(type, () => on.point(undefined));
  }

  // tasks: newest first, each { id, text, done, waiting?, leaving? }
  show(tasks) {
    const present = new Set(tasks.map((task) => task.id));
    for (const [id, row] of [...this.rows]) {
      if (present.has(id)) continue;
      if (row.editor && !row.task.leaving) {
        note(row, "This task was deleted in another window. Enter adds your text as a new task, Escape lets it go.");
        row.orphan = true;
      } else {
        this.drop(id);
      }
    }
    let before = this.root.firstElementChild;
    for (const task of tasks) {
      const row = this.rows.get(task.id) ?? this.make(task);
      this.draw(row, task);
      while (before && this.rows.get(before.dataset.id)?.orphan) before = before.nextElementSibling;
      if (row.li === before) before = before.nextElementSibling;
      else this.root.insertBefore(row.li, before);
    }
    this.drawn = true;
  }

  make(task) {
    const li = this.template.content.firstElementChild.cloneNode(true);
    li.dataset.id = task.id;
    if (this.drawn) li.classList.add("arrived");
    const row = { li, task: null, editor: null, orphan: false };
    this.rows.set(task.id, row);
    return row;
  }

  draw(row, task) {
    const { li } = row;
    const before = row.task;
    row.task = task;
    if (row.orphan) {
      row.orphan = false;
      note(row, "");
    }
    li.classList.toggle("done", task.done);
    li.classList.toggle("waiting", Boolean(task.waiting));
    li.classList.toggle("leaving", Boolean(task.leaving));
    li.setAttribute("aria-busy", String(Boolean(task.waiting || task.leaving)));
    const tick = li.querySelector(".tick");
    if (tick.checked !== task.done) tick.checked = task.done;
    tick.disabled = Boolean(task.fresh);
    if (before?.text === task.text) return;
    tick.setAttribute("aria-label", `Done: ${task.text}`);
    li.querySelector(".delete").setAttribute("aria-label", `Delete: ${task.text}`);
    const text = li.querySelector(".text");
    text.textContent = task.text;
    text.setAttribute("aria-label", `Edit: ${task.text}`);
    if (row.editor && before) note(row, `Changed in another window to “${task.text}”. Enter keeps yours, Escape takes theirs.`);
  }

  drop(id) {
    const row = this.rows.get(id);
    if (!row) return;
    const inside = row.li.contains(document.activeElement);
    const kind = inside ? this.kindOf(document.activeElement) : "";
    const next = row.li.nextElementSibling ?? row.li.previousElementSibling;
    this.rows.delete(id);
    row.editor = null; // so that losing the focus does not save
    row.li.remove();
    if (!inside) return;
    if (next) next.querySelector(SAME[kind] ?? ".text")?.focus();
    else this.on.leave();
  }

  // -- editing in place --

  edit(id) {
    const row = this.rows.get(id);
    if (!row || row.editor || row.task.fresh) return;
    const text = row.li.querySelector(".text");
    const editor = document.createElement("textarea");
    editor.className = "editor";
    editor.rows = 1;
    editor.value = row.task.text;
    editor.setAttribute("aria-label", `Text of: ${row.task.text}`);
    editor.enterKeyHint = "done";
    row.editor = editor;
    row.base = row.task.text;
    text.hidden = true;
    text.after(editor);
    const fit = () => {
      editor.style.height = "auto";
      editor.style.height = `${editor.scrollHeight + 2}px`;
    };
    editor.addEventListener("input", fit);
    fit();
    editor.focus();
    editor.setSelectionRange(editor.value.length, editor.value.length);
  }

  close(row, refocus) {
    const { editor } = row;
    if (!editor) return;
    row.editor = null;
    const text = row.li.querySelector(".text");
    text.hidden = false;
    editor.remove();
    note(row, "");
    if (row.orphan) this.drop(row.li.dataset.id);
    else if (refocus) text.focus();
  }

  async save(row, refocus) {
    const value = row.editor.value.trim();
    if (row.orphan) {
      this.close(row, false);
      this.on.add(value);
      return;
    }
    if (value === row.base || (!refocus && !value)) return this.close(row, refocus);
    if (!value) return note(row, "A task needs a text. To delete the task, press Escape and then Del.", true);
    const id = row.li.dataset.id;
    this.close(row, refocus);
    const error = await this.on.edit(id, value);
    if (!error || !this.rows.has(id)) return;
    this.edit(id); // give back what was typed
    const again = this.rows.get(id);
    if (!again.editor) return;
    again.editor.value = value;
    again.editor.dispatchEvent(new Event("input"));
    note(again, error, true);
  }

  // -- events --

  idOf(target) {
    return target.closest?.(".task")?.dataset.id;
  }

  kindOf(element) {
    return Object.keys(SAME).find((kind) => element.matches(SAME[kind])) ?? "text";
  }

  clicked(event) {
    const id = this.idOf(event.target);
    if (event.target.closest(".delete")) this.on.remove(id);
    else if (event.target.closest(".text")) this.edit(id);
  }

  changed(event) {
    if (event.target.matches(".tick")) this.on.tick(this.idOf(event.target), event.target.checked);
  }

  left(event) {
    const row = this.rows.get(this.idOf(event.target));
    // Another window came to the front: that is no reason to save half a sentence.
    if (row?.editor === event.target && document.hasFocus() && !row.orphan) this.save(row, false);
  }

  keyed(event) {
    const row = this.rows.get(this.idOf(event.target));
    if (!row || event.isComposing) return;
    if (event.target === row.editor) {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.save(row, true);
      } else if (event.key === "Escape") {
        event.preventDefault();
        this.close(row, true);
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Delete" || event.key === "Backspace") this.on.remove(row.li.dataset.id);
    else if (event.key === "F2") this.edit(row.li.dataset.id);
    else if (!this.move(event.key, event.target, row.li)) return;
    event.preventDefault();
  }

  move(key, from, li) {
    const kind = this.kindOf(from);
    const go = (row, to = kind) => (row ? row.querySelector(SAME[to]).focus() : this.on.leave());
    if (key === "ArrowDown") li.nextElementSibling && go(li.nextElementSibling);
    else if (key === "ArrowUp") go(li.previousElementSibling);
    else if (key === "Home") go(this.root.firstElementChild);
    else if (key === "End") go(this.root.lastElementChild);
    else if (key === "ArrowLeft") go(li, kind === "delete" ? "text" : "tick");
    else if (key === "ArrowRight") go(li, kind === "tick" ? "text" : "delete");
    else return false;
    return true;
  }

  enter() {
    this.root.querySelector(".text")?.focus();
  }

  point(id) {
    for (const [key, { li }] of this.rows) li.classList.toggle("linked", key === id);
  }
}

function note(row, text, bad = false) {
  const element = row.li.querySelector(".note");
  element.hidden = !text;
  element.textContent = text;
  element.classList.toggle("error", bad);
  element.setAttribute("role", bad ? "alert" : "status");
  if (row.editor) row.editor.setAttribute("aria-invalid", String(bad));
}
