// Loads the text of a rule as it is chosen, and puts the cursor on the line a problem is about. Without script the
// page works as well: a button loads the text.

const area = document.getElementById("text");
const rule = document.getElementById("rule");
const said = document.getElementById("loaded");
let loaded = { rule: rule.value, text: area.value };

/** The rule whose text stands there. */
function owner() {
  const [, id] = /^id:[ \t]*(\S+)/m.exec(area.value) ?? [];
  return [...rule.options].some((one) => one.value === id) ? id : loaded.rule;
}

/** Puts the text of the chosen rule in place, unless that would lose changes their author wants to keep. */
async function load() {
  const wanted = rule.value;
  const changed = "changed" in area.dataset || area.value !== loaded.text;
  if (changed && owner() === wanted) return;
  if (changed && !confirm("The text has changes of yours. Load another over it?")) {
    rule.value = owner();
    return;
  }
  try {
    const page = new URL(area.form.action);
    page.search = new URLSearchParams({ rule: wanted }).toString();
    const answer = await fetch(page);
    const read = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (rule.value !== wanted) return;
    area.value = read.getElementById("text").value;
    delete area.dataset.changed;
    loaded = { rule: wanted, text: area.value };
    said.textContent = wanted ? `The text below is that of ${wanted}.` : "";
  } catch {
    said.textContent = "The text could not be loaded: press Load its text.";
  }
}
rule.addEventListener("change", load);

/** @param {number} number line, from 1 */
function select(number) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  area.closest("details").open = true;
  area.focus();
  area.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
  const height = parseFloat(getComputedStyle(area).lineHeight);
  area.scrollTop = Math.max(0, (number - 4) * height);
}

for (const link of document.querySelectorAll("a[data-line]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    select(Number(link.dataset.line));
  });
}
