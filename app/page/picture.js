// The picture tab: sends a picture, draws what came back over it, and cuts instances out. The picture itself stays here.
(() => {
  const OUTLINE = 255;
  const FILL = 115;

  // COCO's compressed run-length code: runs of 0s and 1s down the columns, each as base-32 digits, later ones as differences
  // Only the part inside the box is kept, as pictures may have many instances and many pixels.
  function decodeMask(code, height, [left, top, right, bottom]) {
    const tall = bottom - top;
    const mask = new Uint8Array((right - left) * tall);
    const runs = [];
    for (let at = 0; at < code.length; ) {
      let value = 0, shift = 0, more = true;
      while (more) {
        const digit = code.charCodeAt(at++) - 48;
        value |= (digit & 31) << shift;
        shift += 5;
        more = (digit & 32) !== 0;
        if (!more && digit & 16 && shift < 32) value |= -1 << shift;
      }
      if (runs.length > 2) value += runs[runs.length - 2];
      runs.push(value);
    }
    let position = 0;
    runs.forEach((length, index) => {
      for (let at = position; index % 2 && at < position + length; ) {
        const x = Math.floor(at / height), end = Math.min(position + length, (x + 1) * height);
        const column = (x - left) * tall - top - x * height;
        mask.fill(1, column + at, column + end);
        at = end;
      }
      position += length;
    });
    return mask; // column by column: pixel (x, y) is at (x - left) * (bottom - top) + y - top
  }

  function mount(root) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const input = part("file"), stage = part("stage"), canvas = part("canvas"), overlay = part("overlay"), note = part("note");
    const list = part("list"), threshold = part("threshold"), thresholdText = part("threshold-text"), model = part("model");
    const effect = part("effect"), effectClass = part("effect-class"), changed = part("changed");
    let original = null, photo = null, file = null, found = null, shown = [], ids = null, chosen = -1, running = 0;

    async function open(newFile) {
      if (!newFile) return;
      const turn = ++running;
      file = newFile;
      found = null;
      chosen = -1;
      list.replaceChildren();
      overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
      const opened = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
      if (turn !== running) return opened?.close(); // another picture came meanwhile
      original?.close();
      original = photo = opened;
      if (!photo) {
        file = null;
        stage.classList.remove("has-picture");
        return tell("This file is not a picture that a browser can show.", "failed");
      }
      Object.assign(canvas, { width: photo.width, height: photo.height });
      Object.assign(overlay, { width: photo.width, height: photo.height });
      canvas.parentElement.style.maxWidth = `calc(70vh * ${photo.width / photo.height})`; // all of it fits the screen
      if (effect.value === "none") canvas.getContext("2d").drawImage(photo, 0, 0);
      stage.classList.add("has-picture");
      await segment();
    }

    async function segment() {
      if (!file) return;
      const turn = ++running;
      tell("Looking at the picture … the first time the model is loaded, too.", "busy");
      const wish = new URLSearchParams({ model: model.value, score: threshold.value });
      if (effect.value !== "none") wish.set("effect", effectClass.value ? `${effect.value}:${effectClass.value}` : effect.value);
      const address = new URL(`picture/segment?${wish}`, new URL(".", document.baseURI));
      const answer = await fetch(address, { method: "POST", body: file }).catch(() => null);
      const said = (await answer?.json().catch(() => null)) ?? {};
      if (turn !== running) return;
      if (!answer) return tell("The server does not answer.", "failed");
      if (!answer.ok) return tell(said.detail ?? `The server answered with code ${answer.status}.`, "failed");
      if (said.width !== original.width || said.height !== original.height) return tell("The server turned the picture otherwise than this browser; save it upright and try again.", "failed");
      await showChanged(said.picture);
      if (turn !== running) return;
      offerClasses(said.classes);
      found = said;
      for (const one of found.instances) one.pixels = decodeMask(one.mask, found.height, one.box);
      draw();
    }

    async function showChanged(picture) {
      if (photo !== original) photo.close();
      photo = original;
      changed.hidden = !picture;
      if (picture) {
        const image = new Image();
        image.src = picture;
        await image.decode();
        photo = await createImageBitmap(image);
        Object.assign(changed, { href: picture, download: `${(file.name ?? "picture").replace(/\.[^.]*$/, "")}-changed.png` });
      }
      canvas.getContext("2d").drawImage(photo, 0, 0);
    }

    function offerClasses(names) {
      const known = [...effectClass.options].slice(1).map((option) => option.value);
      if (String(known) === String(names)) return;
      const before = effectClass.value;
      effectClass.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
      effectClass.value = names.includes(before) ? before : "";
    }

    function tell(text, state = "") {
      note.textContent = text;
      root.dataset.state = state;
    }

    function draw() {
      if (!found) return;
      const { width, height, instances } = found;
      shown = instances.filter((one) => one.score >= Number(threshold.value));
      if (!shown.includes(instances[chosen])) chosen = -1;
      ids = new Int16Array(width * height).fill(-1); // column by column, too
      for (let index = shown.length - 1; index >= 0; index -= 1) {
        const { pixels, box: [left, top, right, bottom] } = shown[index];
        let at = 0;
        for (let x = left; x < right; x += 1) for (let y = top; y < bottom; y += 1) if (pixels[at++]) ids[x * height + y] = index;
      }
      paintOverlay(width, height);
      list.replaceChildren(...shown.map(row));
      tell(shown.length ? "Point at an instance, or choose one from the list." : "Nothing was found at this threshold.");
    }

    function paintOverlay(width, height) {
      const context = overlay.getContext("2d");
      const data = context.createImageData(width, height);
      const line = Math.max(1, Math.round(Math.min(width, height) / 360));
      for (let x = 0; x < width; x += 1) {
        for (let y = 0; y < height; y += 1) {
          const id = ids[x * height + y];
          if (id < 0) continue;
          const isEdge = at(x - line, y) !== id || at(x + line, y) !== id || at(x, y - line) !== id || at(x, y + line) !== id;
          const pixel = 4 * (y * width + x);
          data.data.set(shown[id].colour, pixel);
          const dimmed = chosen >= 0 && found.instances[chosen] !== shown[id];
          data.data[pixel + 3] = (isEdge ? OUTLINE : photo === original ? FILL : 0) * (dimmed ? 0.25 : 1);
        }
      }
      context.putImageData(data, 0, 0);
      function at(x, y) { return x < 0 || y < 0 || x >= width || y >= height ? -1 : ids[x * height + y]; }
    }

    function row(one) {
      const item = document.createElement("li");
      const button = Object.assign(document.createElement("button"), { type: "button", className: "instance" });
      button.setAttribute("aria-pressed", String(found.instances[chosen] === one));
      const dot = document.createElement("i");
      dot.style.background = `rgb(${one.colour})`;
      const share = ((100 * one.area) / (found.width * found.height)).toFixed(1);
      const text = Object.assign(document.createElement("span"), { textContent: one.name });
      const figures = Object.assign(document.createElement("small"), { textContent: `${one.score.toFixed(2)} · ${one.area.toLocaleString("en")} px · ${share} %` });
      button.append(dot, text, figures);
      button.onclick = () => choose(one);
      const save = Object.assign(document.createElement("button"), { type: "button", className: "cut-out", textContent: "Cut out" });
      save.setAttribute("aria-label", `Download the cut-out of this ${one.name}`);
      save.onclick = () => download(one);
      item.append(button, save);
      return item;
    }

    function choose(one) {
      const index = one ? found.instances.indexOf(one) : -1;
      chosen = index === chosen ? -1 : index; // twice is not at all
      paintOverlay(found.width, found.height);
      shown.forEach((other, at) => list.children[at].firstChild.setAttribute("aria-pressed", String(found.instances[chosen] === other)));
      describe(found.instances[chosen]);
    }

    function describe(one) {
      tell(one ? `${one.name}, score ${one.score.toFixed(2)}, ${one.area.toLocaleString("en")} pixels, from (${one.box[0]}, ${one.box[1]}) to (${one.box[2]}, ${one.box[3]})` : "Point at an instance, or choose one from the list.");
    }

    function under(event) {
      if (!found || !ids) return null;
      const frame = overlay.getBoundingClientRect();
      const x = Math.floor(((event.clientX - frame.left) * found.width) / frame.width);
      const y = Math.floor(((event.clientY - frame.top) * found.height) / frame.height);
      if (x < 0 || y < 0 || x >= found.width || y >= found.height) return null;
      return shown[ids[x * found.height + y]] ?? null;
    }

    async function cutOut(one) {
      const [left, top, right, bottom] = one.box;
      const sheet = new OffscreenCanvas(right - left, bottom - top);
      const context = sheet.getContext("2d");
      context.drawImage(photo, -left, -top);
      const data = context.getImageData(0, 0, sheet.width, sheet.height);
      let at = 0;
      for (let x = left; x < right; x += 1) for (let y = top; y < bottom; y += 1) {
        if (!one.pixels[at++]) data.data[4 * ((y - top) * sheet.width + (x - left)) + 3] = 0;
      }
      context.putImageData(data, 0, 0);
      return sheet.convertToBlob({ type: "image/png" });
    }

    async function download(one) {
      const number = found.instances.indexOf(one) + 1;
      const stem = (file.name ?? "picture").replace(/\.[^.]*$/, "");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await cutOut(one));
      link.download = `${stem}-${number}-${one.name.replaceAll(" ", "-")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    function step(event) {
      const by = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape" && chosen >= 0) choose(null);
      if (by === undefined || !shown.length) return;
      event.preventDefault();
      const from = [...list.children].indexOf(event.target.closest("li"));
      const to = Math.min(Math.max(from + by, 0), shown.length - 1);
      list.children[to].firstChild.focus();
      if (found.instances[chosen] !== shown[to]) choose(shown[to]);
    }

    input.onchange = () => { open(input.files[0]); input.value = ""; }; // so that the same file may be chosen again
    model.onchange = effect.onchange = effectClass.onchange = segment;
    threshold.onchange = () => { if (photo !== original) segment(); };
    threshold.oninput = () => {
      const { min, max, value } = threshold;
      thresholdText.textContent = Number(value).toFixed(2);
      threshold.style.setProperty("--part", `${(100 * (value - min)) / (max - min)}%`);
      draw();
    };
    list.onkeydown = step;
    overlay.onmousemove = (event) => chosen < 0 && found && describe(under(event));
    overlay.onclick = (event) => found && choose(under(event));
    root.ondragover = (event) => { event.preventDefault(); root.classList.add("dragged"); };
    root.ondragleave = () => root.classList.remove("dragged");
    root.ondrop = (event) => { event.preventDefault(); root.classList.remove("dragged"); open(event.dataTransfer.files[0]); };
    document.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (pasted && root.isConnected && root.offsetParent !== null) open(pasted);
    });
  }

  window.solov2.mounts.picture = mount;
  window.solov2.mountAll();
})();
