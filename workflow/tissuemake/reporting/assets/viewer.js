"use strict";
// The controls beside the tissue: what to colour by, how strongly, and what the colours mean.

const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // textContent: names from files never become markup
  return made;
}

function fillSelect(select, labels) {
  select.replaceChildren(...labels.map((label, i) => {
    const option = element("option", "", label);
    option.value = i;
    return option;
  }));
}

function classLegend(map, layer, box) {
  const counts = layer.categories.map((_, bin) => map.painted.starts[bin + 1] - map.painted.starts[bin]);
  const buttons = layer.categories.map((name, bin) => {
    const button = element("button", "class-key");
    const swatch = element("span", "swatch");
    swatch.style.background = layer.colours[bin];
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(swatch, element("span", "class-name", name), element("span", "class-count", counts[bin]));
    button.addEventListener("click", () => {
      const only = map.options.only === bin ? null : bin;
      map.set({ only });
      buttons.forEach((other, i) => {
        other.setAttribute("aria-pressed", String(i === only));
        other.classList.toggle("muted", only !== null && i !== only);
      });
    });
    return button;
  });
  const shown = buttons.filter((_, bin) => counts[bin]);
  box.replaceChildren(...shown, element("p", "hint", "Click a class to see it alone."));
}

function numberLegend(scene, layer, box) {
  const bar = element("div", "ramp");
  bar.style.background = `linear-gradient(to right, ${scene.ramp.join(",")})`;
  const [floor, ceiling] = layer.colour_range;
  const ticks = element("div", "ticks");
  const ends = layer.range[1] > ceiling * 1.0001 ? "≥ " : "";
  ticks.append(
    element("span", "", formatNumber(floor)),
    element("span", "", formatNumber((floor + ceiling) / 2)),
    element("span", "", ends + formatNumber(ceiling)),
  );
  box.replaceChildren(element("p", "unit", layer.unit), bar, ticks);
}

function connect(scene, map) {
  const [groups, layers] = [byId("colour-group"), byId("colour-layer")];
  const legend = byId("legend");
  const choose = () => {
    const group = scene.groups[groups.value];
    const layer = group.layers[layers.value];
    map.show(layer);
    byId("legend-title").textContent = layer.label;
    byId("group-note").textContent = group.note;
    byId("fade-row").hidden = Boolean(layer.categories);
    if (layer.categories) classLegend(map, layer, legend);
    else numberLegend(scene, layer, legend);
  };
  const chooseGroup = () => {
    const labels = scene.groups[groups.value].layers.map((layer) => layer.label);
    fillSelect(layers, labels);
    byId("layer-row").hidden = labels.length < 2;
    choose();
  };
  fillSelect(groups, scene.groups.map((group) => group.label));
  groups.addEventListener("change", chooseGroup);
  layers.addEventListener("change", choose);
  chooseGroup();

  byId("opacity").addEventListener("input", (event) => map.set({ opacity: event.target.value / 100 }));
  byId("show-image").addEventListener("change", (event) => map.set({ image: event.target.checked }));
  byId("show-dropped").addEventListener("change", (event) => map.set({ dropped: event.target.checked }));
  byId("fade").addEventListener("change", (event) => map.set({ fade: event.target.checked }));
  byId("zoom-in").addEventListener("click", () => map.zoom(1.5));
  byId("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => map.fit());
  byId("image-row").hidden = !scene.image;
  byId("dropped-row").hidden = !scene.dropped.count;
}

function connectTooltip(scene, map) {
  const tip = byId("tooltip");
  map.onHover = (spot, x, y) => {
    tip.hidden = spot < 0;
    if (spot < 0) return;
    tip.replaceChildren(
      element("strong", "", scene.names[spot]),
      element("span", "", `${map.layer.label}: ${readValue(map.layer, spot)}`),
    );
    const room = map.width - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(x + 14, room))}px`;
    tip.style.top = `${y + tip.offsetHeight + 24 > map.height ? y - tip.offsetHeight - 12 : y + 14}px`;
  };
}

function start() {
  const scene = loadScene();
  const map = new TissueCanvas(byId("tissue"), scene, byId("tissue-image"));
  connectTooltip(scene, map);
  if (scene.groups.length) connect(scene, map);
  map.draw();
  document.documentElement.dataset.ready = "yes";
}

// "load" waits for the picture, which lies inside the page; nothing else is asynchronous.
window.addEventListener("load", () => {
  try {
    start();
  } catch (error) {
    byId("viewer-error").textContent = `This browser cannot show the tissue (${error.message}).`;
    byId("viewer-error").hidden = false;
    document.documentElement.dataset.ready = "failed";
  }
});
