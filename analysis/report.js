const readout = document.getElementById("readout");
for (const point of document.querySelectorAll(".point")) {
  const tell = () => { readout.textContent = point.getAttribute("aria-label"); };
  point.addEventListener("pointerenter", tell);
  point.addEventListener("click", tell);
  point.addEventListener("focus", tell);
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => { item.open = true; }));
