// The orders, the latest first.

const root = document.getElementById("orders");
const template = document.getElementById("order-row-template").content.firstElementChild;
const rows = new Map();

export function showOrders(orders, accounts) {
  const names = new Map(accounts.map(({ id, name }) => [id, name]));
  document.getElementById("orders-empty").hidden = orders.length > 0;
  const shown = new Set(orders.map(({ id }) => id));
  for (const [id, row] of rows) {
    if (!shown.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  let before = null;
  for (const order of orders) {
    const row = rows.get(order.id) ?? made(order);
    const name = names.get(order.account);
    if (name && row.querySelector(".for").textContent !== name) row.querySelector(".for").textContent = name;
    const place = before ? before.nextElementSibling : root.firstElementChild;
    if (row !== place) root.insertBefore(row, place);
    before = row;
  }
}

function made(order) {
  const row = template.cloneNode(true);
  const set = (query, value) => (row.querySelector(query).textContent = value);
  row.dataset.decision = order.decision;
  set(".decision", order.decision);
  set(".what", `${order.quantity} × ${order.item}${order.decision === "refused" ? `, account ${order.standing}` : ""}`);
  set(".for", order.account);
  set("time", new Date(order.at).toLocaleTimeString());
  row.querySelector("time").dateTime = order.at;
  rows.set(order.id, row);
  return row;
}
