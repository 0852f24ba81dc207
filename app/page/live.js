// The live view: paints what comes down the socket, lends this browser's camera, and shows how the stream is doing.
(() => {
  const HEAD_BYTES = 20;
  const ALL = -1; // in place of a source's number
  const CAMERA_IN_FLIGHT = 2;
  const RETRY_MS = 1000;
  const HANDS_OFF_MS = 1500; // so long after this visitor's last touch
  window.solov2?.retire(); // in reload mode Gradio runs this again in the same document
  const viewer = (sessionStorage.solov2Viewer ??= Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join(""));
  const solov2 = (window.solov2 = { viewer, painted: 0, roundTripMs: 0, ageMs: 0, look: ALL, kind: null, status: { state: "idle", message: "" } });

  let socket = null;
  let view = null; // the mounted elements
  let isRetired = false;
  let tiles = []; // one for each source: its elements, and the newest picture until it is painted
  let owed = []; // by source: pictures that were received and not yet asked for again, as nobody could see them

  const send = (wish) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(wish));
  const base = () => new URL(".", document.baseURI);
  const isSeen = () => !document.hidden && view?.stage.isConnected && view.stage.offsetParent !== null;

  function connect() {
    const address = new URL(`live/socket?viewer=${viewer}`, base());
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => solov2.look !== ALL && send({ look: solov2.look });
    socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : receive(data));
    socket.onclose = () => {
      if (isRetired) return;
      owed = [];
      camera.inFlight = 0;
      show({ ...solov2.status, connected: false });
      setTimeout(connect, RETRY_MS);
    };
  }

  function hear(news) {
    if (news.taken) camera.inFlight = Math.max(0, camera.inFlight - 1);
    if (news.status) {
      show({ ...news.status, connected: true });
      camera.follow(news.status.camera);
      widgets.follow(news.status.controls);
      if (isSeen()) askAgain();
    }
  }

  async function receive(data) {
    const head = new DataView(data);
    const source = head.getUint32(16, true);
    owed[source] = (owed[source] ?? 0) + 1;
    const jpeg = new Blob([new Uint8Array(data, HEAD_BYTES)], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(jpeg).catch(() => null);
    const tile = tiles[source];
    if (!bitmap || !tile) return isSeen() && askAgain(); // damaged, or of a source that has gone: the next one will do
    const isFirst = tile.waiting === null;
    tile.waiting?.bitmap.close();
    tile.waiting = { bitmap, ptsMs: head.getFloat64(0, true) * 1000, ageMs: head.getFloat64(8, true) };
    if (!isSeen()) paint(tile);
    else if (isFirst) requestAnimationFrame(() => paint(tile));
  }

  function paint(tile) {
    if (!tile.waiting) return;
    const { bitmap, ptsMs, ageMs } = tile.waiting;
    tile.waiting = null;
    solov2.ageMs = ageMs;
    if (camera.isOn) solov2.roundTripMs = performance.now() - ptsMs;
    if (!view) return bitmap.close();
    tile.canvas.width = bitmap.width;
    tile.canvas.height = bitmap.height;
    tile.context.transferFromImageBitmap(bitmap);
    tile.root.classList.add("has-picture");
    view.stage.classList.add("has-picture");
    solov2.painted += 1;
    if (isSeen()) askAgain();
  }

  function askAgain() {
    owed.forEach((_, source) => {
      for (; owed[source] > 0 && !tiles[source]?.waiting; owed[source] -= 1) send({ ready: source });
    });
  }

  // The widgets show what was set last: by another visitor, or here before the page was loaded again
  const widgets = {
    shown: null,
    touchedAt: -Infinity,
    follow(controls) {
      const now = JSON.stringify(controls);
      const button = document.getElementById("follow-controls");
      if (!button || now === this.shown || performance.now() - this.touchedAt < HANDS_OFF_MS) return;
      this.shown = now;
      button.click();
    },
  };

  const camera = {
    isOn: false,
    inFlight: 0,
    follow(isWanted) {
      if (isWanted && !this.isOn) this.turnOn();
      if (!isWanted && this.isOn) this.turnOff();
    },
    async turnOn() {
      this.isOn = true;
      this.inFlight = 0;
      const turn = (this.turn = (this.turn ?? 0) + 1);
      try {
        if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
        const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: { ideal: 30 } } });
        if (!this.isOn || turn !== this.turn) return stream.getTracks().forEach((track) => track.stop()); // asked for too late
        this.stream = stream;
        this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: this.stream });
        await this.video.play();
        this.video.requestVideoFrameCallback(() => this.grab());
      } catch (error) {
        send({ camera_problem: cameraProblem(error) });
      }
    },
    turnOff() {
      this.isOn = false;
      this.release();
    },
    release() {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = this.video = null;
    },
    async grab() {
      if (!this.video) return;
      const clockMs = performance.now();
      this.video.requestVideoFrameCallback(() => this.grab());
      if (this.isEncoding || this.inFlight >= CAMERA_IN_FLIGHT || socket?.readyState !== WebSocket.OPEN) return;
      this.isEncoding = true;
      try {
        const { videoWidth: width, videoHeight: height } = this.video;
        this.sheet ??= new OffscreenCanvas(width, height);
        Object.assign(this.sheet, { width, height });
        this.sheet.getContext("2d").drawImage(this.video, 0, 0);
        const jpeg = await this.sheet.convertToBlob({ type: "image/jpeg", quality: 0.8 });
        const head = new Float64Array([clockMs]); // little-endian wherever browsers run
        this.inFlight += 1;
        socket.send(new Blob([head, jpeg]));
      } finally {
        this.isEncoding = false;
      }
    },
  };

  function cameraProblem(error) {
    const reasons = {
      NotAllowedError: "the browser was not permitted to use the camera: allow it beside the page's address",
      NotFoundError: "this device has no camera",
      NotReadableError: "the camera is in use by another program",
      SecurityError: "browsers lend their camera to pages on localhost or https only",
    };
    return reasons[error.name] ?? `the browser could not open its camera (${error.name})`;
  }

  // What is known about the stream, in words and numbers

  const PHASES = { connecting: "Connecting", live: "Live", paused: "Paused", waiting: "Waiting", ended: "Ended" };
  const NOTES = {
    own: "Press Start to see the sources of this page.",
    browser: "Press Start, and allow this page to use the camera.",
    address: "Type an address and press Start.",
    file: "Choose a file and press Start.",
    camera: "Choose a camera and press Start.",
  };
  const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "–"); // no rate yet
  const capital = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
  const duration = (ms) => (ms < 1000 ? `${ms.toFixed(0)} ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(0)} min`);

  function show(status) {
    solov2.status = status;
    if (!view) return;
    const { state, connected, sources = [] } = status;
    const isOn = state === "running" || state === "paused";
    if (solov2.look >= Math.max(sources.length, 1) || sources.length < 2) lookAt(ALL);
    view.root.dataset.state = connected === false ? "lost" : state;
    view.note.textContent = noteOf(status);
    view.poster.hidden = state !== "idle" || (solov2.kind ?? chosenKind()) !== "demo";
    view.pause.disabled = !isOn;
    view.pause.textContent = state === "paused" ? "Resume" : "Pause";
    view.stop.disabled = !isOn && state !== "starting";
    const isOne = sources.length === 1 || solov2.look !== ALL; // one source is looked at, so that it can be recorded
    view.record.disabled = (!isOn || !isOne) && !status.recording;
    view.record.textContent = status.recording ? "Stop recording" : "Record";
    view.record.setAttribute("aria-pressed", String(Boolean(status.recording)));
    view.snapshot.toggleAttribute("inert", !status.has_picture);
    view.download.hidden = status.recording || !status.has_recording || !isOne;
    const problem = status.problem || status.recording_problem;
    if (problem) view.problem.textContent = capital(problem);
    else if (isOn && !status.recording_problem && !status.loading) view.problem.textContent = "";
    showSources(sources, isOn || state === "starting");
    showFigures(status);
  }

  const chosenKind = () => document.querySelector(".sources input:checked")?.value ?? "demo";

  function noteOf({ state, message, connected, loading }) {
    if (connected === false) return "The server does not answer. Trying again …";
    if (loading) return `Loading the model ${loading} …`;
    if (state === "idle" || connected === undefined) return NOTES[solov2.kind ?? chosenKind()] ?? "";
    if (state === "starting") return `${message} …`;
    if (state === "failed") return `${capital(message)}.`.replace(/([.?!])\.$/, "$1");
    return state === "ended" ? `${message}.` : ""; // what a source waits for is in its picture
  }

  // The sources, side by side where there are several; a click shows one alone

  function showSources(sources, isOn) {
    const count = Math.max(1, sources.length);
    while (tiles.length > count) tiles.pop().root.remove();
    while (tiles.length < count) tiles.push(makeTile(tiles.length));
    view.tiles.dataset.count = count;
    view.tiles.style.setProperty("--columns", solov2.look === ALL ? Math.ceil(Math.sqrt(count)) : 1);
    view.all.hidden = count === 1 || solov2.look === ALL;
    tiles.forEach((tile, index) => {
      const source = sources[index];
      tile.root.hidden = solov2.look !== ALL && solov2.look !== index;
      tile.badge.hidden = !source || !isOn;
      tile.enlarge.hidden = count === 1;
      if (!source) return;
      tile.root.dataset.phase = source.phase;
      tile.name.textContent = source.name.includes("://") ? source.name : source.name.split("/").pop(); // of a path, the file
      tile.name.title = source.name;
      tile.enlarge.setAttribute("aria-label", solov2.look === ALL ? `Show ${source.name} alone` : "Show all sources");
      tile.canvas.setAttribute("aria-label", `${source.name} with its instances marked`);
      tile.state.textContent = stateOf(source);
    });
  }

  function stateOf({ phase, is_live: isLive, reason, age_ms: ageMs, next_try_seconds: next, recording }) {
    const words = [phase === "live" && !isLive ? "Playing" : PHASES[phase] ?? phase];
    if (recording) words.unshift("Recording");
    if (phase === "ended" && reason) words.push(reason);
    if (phase === "waiting" && next !== null) words.push(`next try in ${next.toFixed(0)} s`);
    if (Number.isFinite(ageMs) && phase !== "ended") words.push(`${duration(ageMs)} old`);
    return words.join(" · ");
  }

  function makeTile(index) {
    const root = view.template.content.firstElementChild.cloneNode(true);
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const canvas = part("canvas");
    view.tiles.append(root);
    part("enlarge").onclick = () => lookAt(solov2.look === ALL ? index : ALL);
    return {
      root, canvas, context: canvas.getContext("bitmaprenderer"), waiting: null,
      badge: part("badge"), name: part("name"), state: part("state"), enlarge: part("enlarge"),
    };
  }

  function lookAt(source) {
    if (source === solov2.look) return;
    solov2.look = source;
    const query = source === ALL ? "" : `?source=${source}`;
    view.snapshot.href = new URL(`live/snapshot.png${query}`, base());
    view.download.href = new URL(`live/recording.mp4${query}`, base());
    send({ look: source });
    show(solov2.status);
  }

  solov2.choose = (kind) => {
    solov2.kind = kind;
    show(solov2.status);
  };

  function showFigures({ stats, classes = {}, recording, recorded_frames: recorded, viewers = 1 }) {
    const dropped = Object.entries(stats?.dropped ?? {});
    const skipped = dropped.reduce((sum, [, count]) => sum + count, 0);
    const figures = {
      capture: number(stats?.capture_fps, 1),
      inference: number(stats?.inference_fps, 1),
      display: number(stats?.display_fps, 1),
      age: stats?.displayed ? number(stats.age_ms) : "–",
      skipped: String(skipped),
    };
    for (const [name, value] of Object.entries(figures)) view.figures[name].textContent = value;
    const interruptions = ["reconnect", "stall"].map((name) => [stats?.[`${name}s`] === 1 ? name : `${name}s`, stats?.[`${name}s`] ?? 0]);
    const losses = [...dropped.map(([cause, count]) => [`skipped at ${cause}`, count]), ...interruptions].filter(([, count]) => count);
    view.losses.textContent = losses.map(([name, count]) => `${count} ${name}`).join(" · ");
    view.losses.hidden = !losses.length;
    const counts = Object.entries(classes).map(([name, count]) => `<li><b>${count}</b> ${escaped(name)}</li>`);
    if (recording) counts.push(`<li class="recording"><b>${recorded}</b> frames recorded</li>`);
    if (viewers > 1) counts.push(`<li><b>${viewers}</b> are looking</li>`);
    const html = counts.join("");
    if (view.counts.innerHTML !== html) view.counts.innerHTML = html;
  }

  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  function mount(root) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    view = {
      root, stage: part("stage"), tiles: part("tiles"), template: part("tile"), poster: part("poster"), all: part("all"),
      note: part("note"), counts: part("counts"), losses: part("losses"), problem: part("problem"),
      pause: part("pause"), stop: part("stop"), record: part("record"), snapshot: part("snapshot"), download: part("download"),
      figures: Object.fromEntries(["capture", "inference", "display", "age", "skipped"].map((name) => [name, part(name)])),
    };
    tiles = [];
    view.pause.onclick = () => send({ do: solov2.status.state === "paused" ? "resume" : "pause" });
    view.stop.onclick = () => send({ do: "stop" });
    view.record.onclick = () => send({ do: solov2.status.recording ? "stop recording" : "record" });
    view.all.onclick = () => lookAt(ALL);
    view.stage.onkeydown = ({ key }) => key === "Escape" && lookAt(ALL);
    for (const link of [view.snapshot, view.download]) link.href = new URL(link.getAttribute("href"), base());
    view.poster.src = new URL(view.poster.getAttribute("src"), base());
    show(solov2.status);
    if (isSeen()) askAgain();
  }

  // Gradio makes and replaces the elements of its tabs as it likes
  solov2.mounts = { live: mount };
  solov2.mountAll = mountAll;
  function mountAll() {
    for (const root of document.querySelectorAll("[data-mount]:not([data-mounted])")) {
      const mountOne = solov2.mounts[root.dataset.mount];
      if (!mountOne) continue;
      root.dataset.mounted = "";
      mountOne(root);
    }
  }
  solov2.retire = () => {
    isRetired = true;
    observer.disconnect();
    camera.turnOff();
    socket.close();
    for (const root of document.querySelectorAll("[data-mounted]")) delete root.dataset.mounted;
  };
  const observer = new MutationObserver(mountAll);
  observer.observe(document.documentElement, { childList: true, subtree: true });
  for (const touch of ["input", "pointerdown", "pointermove", "keydown"]) {
    document.addEventListener(touch, ({ buttons }) => (touch !== "pointermove" || buttons) && (widgets.touchedAt = performance.now()), true);
  }
  document.addEventListener("visibilitychange", () => isSeen() && askAgain());
  mountAll();
  connect();
})();
