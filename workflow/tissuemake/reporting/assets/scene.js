"use strict";
// The tissue of a sample page: unpacks the spots and their layers. Needs nothing but the page itself.

function loadScene() {
  const scene = JSON.parse(document.getElementById("tissue-scene").textContent);
  const text = atob(document.getElementById("tissue-blob").textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const buffer = packed.buffer;

  const n = scene.count;
  const codes = (bits, at, count) =>
    bits === 8 ? new Uint8Array(buffer, at, count) : new Uint16Array(buffer, at, count);
  scene.xs = new Float32Array(buffer, scene.x, n);
  scene.ys = new Float32Array(buffer, scene.y, n);
  const [at, length] = scene.barcodes;
  scene.names = new TextDecoder().decode(new Uint8Array(buffer, at, length)).split("\n");
  const dropped = scene.dropped;
  dropped.xs = new Float32Array(buffer, dropped.x, dropped.count);
  dropped.ys = new Float32Array(buffer, dropped.y, dropped.count);
  dropped.codes = new Uint8Array(buffer, dropped.reason, dropped.count);
  Object.assign(scene, { nameOf: (i) => scene.names[i] });
  for (const fine of scene.fine) loadPlaces(scene, fine, buffer);
  for (const group of scene.groups)
    for (const layer of group.layers) {
      layer.places = scene.fine[group.fine] ?? scene;
      layer.codes = codes(layer.bits, layer.at, layer.places.count);
    }
  linkLayers(scene);
  scene.bounds = boundsOf(scene);
  return scene;
}

// Places of their own, finer than the spots: squares that touch.
function loadPlaces(scene, fine, buffer) {
  fine.xs = new Float32Array(buffer, fine.x, fine.count);
  fine.ys = new Float32Array(buffer, fine.y, fine.count);
  const spots = new Int32Array(buffer, fine.spot, fine.count);
  fine.shape = "square";
  fine.nameOf = (i) => (spots[i] < 0 ? `between ${scene.noun}s` : `inside ${scene.names[spots[i]]}`);
}

// Pies are made of the layers of another group, shares have their spread in one: they are not stored twice.
function linkLayers(scene) {
  const layersOf = (label) => scene.groups.find((group) => group.label === label)?.layers ?? [];
  for (const group of scene.groups)
    for (const layer of group.layers) {
      const named = (group, label) => layersOf(group).find((other) => other.label === label);
      if (layer.slices_in) layer.slices = layer.categories.map((name) => named(layer.slices_in, name));
      if (layer.spread_in) layer.spread = named(layer.spread_in, layer.label);
    }
}

function boundsOf(scene) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  const cover = (x, y) => {
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  };
  for (let i = 0; i < scene.count; i++) cover(scene.xs[i], scene.ys[i]);
  if (!scene.count && scene.image) {
    cover(0, 0);
    cover(scene.image.width / scene.image.scale, scene.image.height / scene.image.scale);
  }
  if (!Number.isFinite(box.left)) cover(0, 0);
  return box;
}

// The value of spot i as a person reads it.
function readValue(layer, i) {
  const top = 2 ** layer.bits - 1;
  const code = layer.codes[i];
  if (code === top) return "no value";
  if (layer.slices) return readSlices(layer, i);
  if (layer.categories) return layer.categories[code];
  return `${formatNumber(numberAt(layer, i))}${readSpread(layer, i)} ${layer.unit}`;
}

// The number of spot i in a layer of numbers; NaN where it has none.
function numberAt(layer, i) {
  const top = 2 ** layer.bits - 1;
  if (layer.codes[i] === top) return NaN;
  const [low, high] = layer.range;
  return low + (layer.codes[i] / (top - 1)) * (high - low);
}

// The interval in which 90% of true shares should lie.
function readSpread(layer, i) {
  if (!layer.spread) return "";
  const [mean, reach] = [numberAt(layer, i), 1.645 * numberAt(layer.spread, i)];
  if (!Number.isFinite(reach)) return "";
  return ` (90%: ${formatNumber(Math.max(0, mean - reach))} to ${formatNumber(Math.min(1, mean + reach))})`;
}

function readSlices(layer, i) {
  return layer.slices
    .map((slice, k) => [numberAt(slice, i), layer.categories[k]])
    .filter(([share]) => share >= 0.05)
    .sort((a, b) => b[0] - a[0])
    .slice(0, 4)
    .map(([share, name]) => `${name} ${Math.round(100 * share)}%`)
    .join(", ");
}

function formatNumber(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 100 || size === 0) return value.toFixed(0);
  if (size < 0.01) return value.toExponential(1);
  return value.toPrecision(2 + (size >= 10)).replace(/\.0+$/, "");
}

// Which colour each spot has: `bins` index `colours`; the last colour is "missing".
function colourise(scene, layer) {
  const top = 2 ** layer.bits - 1;
  const { count } = layer.places;
  const bins = new Uint16Array(count);
  const colours = layer.categories ? layer.colours : scene.ramp;
  const last = colours.length;
  if (layer.categories) {
    for (let i = 0; i < count; i++) bins[i] = layer.codes[i] === top ? last : layer.codes[i];
  } else {
    const [low, high] = layer.range;
    const [floor, ceiling] = layer.colour_range;
    const step = (high - low) / (top - 1);
    for (let i = 0; i < count; i++) {
      const share = (low + layer.codes[i] * step - floor) / (ceiling - floor);
      bins[i] = layer.codes[i] === top ? last : Math.max(0, Math.min(last - 1, Math.floor(share * last)));
    }
  }
  // Spots of one colour are drawn together, low values first so that high ones stay visible.
  const starts = new Uint32Array(last + 2);
  for (let i = 0; i < count; i++) starts[bins[i] + 1]++;
  for (let b = 0; b <= last; b++) starts[b + 1] += starts[b];
  const order = new Uint32Array(count);
  const next = starts.slice();
  for (let i = 0; i < count; i++) order[next[bins[i]]++] = i;
  return { colours: [...colours, scene.missing], starts, order, bins };
}
