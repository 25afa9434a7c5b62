const panel = document.getElementById("panel");
if (panel) {
  const [card, shown, hint] = ["card", "shown", "hint"].map((id) => document.getElementById(id));
  const templates = new Map([...document.querySelectorAll("template[data-card]")].map((item) => [item.dataset.card, item]));
  const points = [...document.querySelectorAll(".point")];
  const REACH = 24; // pixels from a mark that still point at it, for fingers
  let pinned = null;

  const tell = (name) => {
    if (card.dataset.of === name) return;
    card.dataset.of = name;
    card.replaceChildren(templates.get(name).content.cloneNode(true));
    shown.replaceChildren();
    hint.hidden = true;
    for (const point of points) point.classList.toggle("active", point.dataset.card === name);
  };
  const pin = (name) => {
    tell(name);
    pinned = name;
    const frames = document.getElementById(templates.get(name).dataset.frames ?? "");
    const copy = frames ? frames.cloneNode(true) : document.createElement("p");
    if (frames) copy.removeAttribute("id");
    else copy.textContent = "This page has no frames of it.";
    shown.replaceChildren(copy);
  };
  const release = () => {
    pinned = null;
    shown.replaceChildren();
  };
  const nearest = (figure, event) => {
    let best = null, least = REACH;
    for (const point of figure.querySelectorAll(".point")) {
      const box = point.getBoundingClientRect();
      const away = Math.hypot(event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2);
      // Of marks that lie on one another the mean: the later in the page.
      if (away < least || (away === least && point.hasAttribute("tabindex"))) [best, least] = [point, away];
    }
    return best;
  };

  for (const figure of document.querySelectorAll(".front svg")) {
    figure.addEventListener("pointermove", (event) => {
      const point = pinned === null ? nearest(figure, event) : null;
      if (point) tell(point.dataset.card);
    });
    figure.addEventListener("click", (event) => {
      const point = nearest(figure, event);
      if (point) pin(point.dataset.card);
      else release();
    });
  }
  // On the figure, not on its marks: Chromium makes an SVG element that listens for focus a stop of the Tab key.
  const front = document.querySelector(".front");
  front.addEventListener("focusin", (event) => {
    const point = event.target.closest(".point");
    if (point && pinned === null) tell(point.dataset.card);
  });
  front.addEventListener("keydown", (event) => {
    const point = event.target.closest(".point");
    if (!point || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    pin(point.dataset.card);
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") release(); });
  if (panel.dataset.opened) { // the setting of the answer, until another one is pointed at
    pin(panel.dataset.opened);
    pinned = null;
    hint.hidden = false;
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => { item.open = true; }));
