// Puts the cursor on the line a problem is about. Everything else on the page works without script.

/** @param {HTMLTextAreaElement} area @param {number} number line, from 1 */
function select(area, number) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  area.closest("details").open = true;
  area.focus();
  area.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
  const height = parseFloat(getComputedStyle(area).lineHeight);
  area.scrollTop = Math.max(0, (number - 4) * height);
}

const area = document.getElementById("text");
for (const link of document.querySelectorAll("a[data-line]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    select(area, Number(link.dataset.line));
  });
}
