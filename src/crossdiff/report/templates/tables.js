// The numbers of a table are one stop of the Tab key; inside it arrow keys go from number to number.
const NUMBERS = "[data-src][tabindex], [data-files][tabindex]";

// The nearest number of the next row that has one, by its place on the screen, for cells may span rows.
function inNextRow(from, down) {
  const middle = (number) => number.getBoundingClientRect().left + number.offsetWidth / 2;
  const rows = [...from.closest("table").rows];
  const step = down ? 1 : -1;
  for (let at = rows.indexOf(from.closest("tr")) + step; rows[at]; at += step) {
    const numbers = [...rows[at].querySelectorAll(NUMBERS)];
    if (numbers.length) return numbers.sort((a, b) => Math.abs(middle(a) - middle(from)) - Math.abs(middle(b) - middle(from)))[0];
  }
}

function alongRow(from, forth) {
  const numbers = [...from.closest("table").querySelectorAll(NUMBERS)];
  return numbers[numbers.indexOf(from) + (forth ? 1 : -1)];
}

const MOVES = {
  ArrowRight: (from) => alongRow(from, true), ArrowLeft: (from) => alongRow(from, false),
  ArrowDown: (from) => inNextRow(from, true), ArrowUp: (from) => inNextRow(from, false),
};

for (const table of document.querySelectorAll("main table")) {
  for (const number of [...table.querySelectorAll(NUMBERS)].slice(1)) number.tabIndex = -1;
  table.addEventListener("focusin", ({ target }) => {
    if (!target.matches(NUMBERS)) return;
    for (const number of table.querySelectorAll(NUMBERS)) number.tabIndex = number === target ? 0 : -1;
  });
  table.addEventListener("keydown", (event) => {
    const next = event.target.matches(NUMBERS) && MOVES[event.key] && MOVES[event.key](event.target);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}
