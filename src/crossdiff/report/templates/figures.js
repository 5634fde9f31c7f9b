// A figure's drawing as a file, taken from the page itself; it keeps the colours of a light page.
for (const button of document.querySelectorAll("button[data-drawing]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const name = button.dataset.drawing;
    const drawing = document.querySelector(`svg[data-name="${name}"]`).cloneNode(true);
    for (const own of ["style", "role", "aria-label", "data-name"]) drawing.removeAttribute(own);
    const file = new Blob([new XMLSerializer().serializeToString(drawing)], { type: "image/svg+xml" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `${name}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
