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
    const said = layer.slices ? meanShare(map.scene, layer.slices[bin]) : counts[bin];
    button.append(swatch, element("span", "class-name", name), element("span", "class-count", said));
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
  const shown = buttons.filter((_, bin) => counts[bin] || layer.slices);
  const more = layer.slices ? " Where pies would be too small, dots show the largest share: zoom in." : "";
  box.replaceChildren(...shown, element("p", "hint", `Click a class to see it alone.${more}`));
}

function meanShare(scene, slice) {
  let [sum, n] = [0, 0];
  for (let i = 0; i < scene.count; i++) {
    const share = numberAt(slice, i);
    if (Number.isFinite(share)) [sum, n] = [sum + share, n + 1];
  }
  return n ? `${(100 * sum / n).toFixed(1)}%` : "–";
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

function show(map, layer, title, box) {
  map.show(layer);
  title.textContent = layer.label;
  if (layer.categories) classLegend(map, layer, box);
  else numberLegend(map.scene, layer, box);
}

function connect(scene, map, beside) {
  const [groups, layers, besideGroups] = [byId("colour-group"), byId("colour-layer"), byId("beside-group")];
  const chosen = () => scene.groups[groups.value].layers[layers.value];
  const choose = () => {
    const layer = chosen();
    show(map, layer, byId("legend-title"), byId("legend"));
    byId("group-note").textContent = scene.groups[groups.value].note;
    byId("group-note").hidden = !scene.groups[groups.value].note;
    byId("fade-row").hidden = Boolean(layer.categories);
    chooseBeside();
  };
  // Another group keeps the type or gene in view: from a share to its uncertainty, from one method to the next.
  const chooseGroup = () => {
    const before = map.layer?.key;
    const choices = scene.groups[groups.value].layers;
    fillSelect(layers, choices.map((layer) => layer.label));
    layers.value = Math.max(0, choices.findIndex(({ key }) => key === before));
    byId("layer-row").hidden = choices.length < 2;
    choose();
  };
  const chooseBeside = () => {
    const group = scene.groups[besideGroups.value - 1];
    const shown = Boolean(group);
    byId("maps").classList.toggle("two", shown);
    for (const id of ["beside-map", "beside-legend-box", "map-title"]) byId(id).hidden = !shown;
    if (!shown) return;
    const layer = group.layers.find(({ key }) => key === chosen().key) ?? group.layers[0];
    show(beside, layer, byId("beside-legend-title"), byId("beside-legend"));
    const name = (from, what) => (from.label.includes(what.label) ? from.label : `${from.label}: ${what.label}`);
    byId("map-title").textContent = name(scene.groups[groups.value], chosen());
    byId("beside-title").textContent = name(group, layer);
    beside.resize();
    map.lead();
  };
  // A button in the page below shows its map, beside another where it says so.
  const showFrom = ({ dataset }) => {
    const at = (label) => scene.groups.findIndex((group) => group.label === label);
    groups.value = at(dataset.group);
    besideGroups.value = at(dataset.beside) + 1;
    chooseGroup();
    const found = scene.groups[groups.value].layers.findIndex(({ key }) => key === dataset.key);
    layers.value = Math.max(0, found);
    choose();
    byId("tissue-view").scrollIntoView();
  };
  for (const button of document.querySelectorAll("button.show-map"))
    button.addEventListener("click", () => showFrom(button));
  fillSelect(groups, scene.groups.map((group) => group.label));
  fillSelect(besideGroups, ["nothing", ...scene.groups.map((group) => group.label)]);
  groups.addEventListener("change", chooseGroup);
  layers.addEventListener("change", choose);
  besideGroups.addEventListener("change", chooseBeside);
  chooseGroup();
}

function connectSwitches(scene, map, beside) {
  const both = (options) => [map, beside].forEach((one) => one.set(options));
  byId("opacity").addEventListener("input", (event) => both({ opacity: event.target.value / 100 }));
  byId("show-image").addEventListener("change", (event) => both({ image: event.target.checked }));
  byId("show-dropped").addEventListener("change", (event) => both({ dropped: event.target.checked }));
  byId("fade").addEventListener("change", (event) => both({ fade: event.target.checked }));
  byId("zoom-in").addEventListener("click", () => map.zoom(1.5));
  byId("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => map.fit());
  byId("image-row").hidden = !scene.image;
  byId("dropped-row").hidden = !scene.dropped.count;
}

function connectTooltip(map, tip) {
  map.onHover = (spot, x, y) => {
    tip.hidden = spot < 0;
    if (spot < 0) return;
    tip.replaceChildren(
      element("strong", "", map.places.nameOf(spot)),
      element("span", "", `${map.layer.label}: ${readValue(map.layer, spot)}`),
    );
    const room = map.width - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(x + 14, room))}px`;
    tip.style.top = `${y + tip.offsetHeight + 24 > map.height ? y - tip.offsetHeight - 12 : y + 14}px`;
  };
}

function start() {
  const scene = loadScene();
  const picture = byId("tissue-image");
  const map = new TissueCanvas(byId("tissue"), scene, picture);
  const beside = new TissueCanvas(byId("tissue-beside"), scene, picture);
  [map.peer, beside.peer] = [beside, map];
  connectTooltip(map, byId("tooltip"));
  connectTooltip(beside, byId("beside-tooltip"));
  connectSwitches(scene, map, beside);
  if (scene.groups.length) connect(scene, map, beside);
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
