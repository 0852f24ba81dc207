// The live view: paints what comes down the socket, lends this browser's camera, and shows how the stream is doing.
(() => {
  const HEAD_BYTES = 16;
  const CAMERA_IN_FLIGHT = 2;
  const RETRY_MS = 1000;
  const HANDS_OFF_MS = 1500; // so long after this visitor's last touch
  window.solov2?.retire(); // in reload mode Gradio runs this again in the same document
  const viewer = (sessionStorage.solov2Viewer ??= Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join(""));
  const solov2 = (window.solov2 = { viewer, painted: 0, roundTripMs: 0, ageMs: 0, status: { state: "idle", message: "" } });

  let socket = null;
  let view = null; // the mounted elements
  let waiting = null; // the newest picture, until it is painted
  let isRetired = false;
  let owed = 0; // pictures that were received and not yet asked for again, as nobody could see them

  const send = (wish) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(wish));
  const base = () => new URL(".", document.baseURI);
  const isSeen = () => !document.hidden && view?.canvas.isConnected && view.canvas.offsetParent !== null;

  function connect() {
    const address = new URL(`live/socket?viewer=${viewer}`, base());
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : receive(data));
    socket.onclose = () => {
      if (isRetired) return;
      owed = 0;
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
      if (owed && isSeen()) askAgain();
    }
  }

  async function receive(data) {
    owed += 1;
    const head = new DataView(data);
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, HEAD_BYTES)], { type: "image/jpeg" }));
    const isFirst = waiting === null;
    if (waiting) waiting.bitmap.close();
    waiting = { bitmap, ptsMs: head.getFloat64(0, true) * 1000, ageMs: head.getFloat64(8, true) };
    if (!isSeen()) paint();
    else if (isFirst) requestAnimationFrame(paint);
  }

  function paint() {
    if (!waiting) return;
    const { bitmap, ptsMs, ageMs } = waiting;
    waiting = null;
    solov2.ageMs = ageMs;
    if (camera.isOn) solov2.roundTripMs = performance.now() - ptsMs;
    if (!view) return bitmap.close();
    view.canvas.width = bitmap.width;
    view.canvas.height = bitmap.height;
    view.context.transferFromImageBitmap(bitmap);
    view.stage.classList.add("has-picture");
    solov2.painted += 1;
    if (isSeen()) askAgain();
  }

  function askAgain() {
    for (; owed > 0; owed -= 1) send({ ready: 1 });
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

  const number = (value, digits = 0) =>
    value === null ? "–" : Number.isFinite(value) ? value.toFixed(digits) : "0"; // null: there is no rate yet

  function show(status) {
    solov2.status = status;
    if (!view) return;
    const { state, connected } = status;
    const isOn = state === "running" || state === "paused";
    view.root.dataset.state = connected ? state : "lost";
    view.note.textContent = noteOf(status);
    view.pause.disabled = !isOn;
    view.pause.textContent = state === "paused" ? "Resume" : "Pause";
    view.stop.disabled = !isOn && state !== "starting";
    view.record.disabled = !isOn && !status.recording;
    view.record.textContent = status.recording ? "Stop recording" : "Record";
    view.record.setAttribute("aria-pressed", String(Boolean(status.recording)));
    view.snapshot.toggleAttribute("inert", !status.has_picture);
    view.download.hidden = status.recording || !status.has_recording;
    const problem = status.problem || status.recording_problem;
    if (problem) view.problem.textContent = problem;
    else if (isOn && !status.recording_problem) view.problem.textContent = "";
    showFigures(status);
  }

  function noteOf({ state, message, connected }) {
    if (connected === false) return "The server does not answer. Trying again …";
    if (state === "idle") return "Choose a source and press Start.";
    if (state === "starting") return `${message} …`;
    if (state === "paused") return "Paused";
    if (state === "failed") return `${message.slice(0, 1).toUpperCase()}${message.slice(1)}.`.replace(/([.?!])\.$/, "$1");
    if (state === "running") return message; // why nothing comes, if nothing does
    return state === "ended" ? `${message}.` : "";
  }

  function showFigures({ stats, classes = {}, recording, recorded_frames: recorded, viewers = 1 }) {
    const lost = Object.values(stats?.dropped ?? {}).reduce((sum, count) => sum + count, 0);
    const figures = {
      capture: number(stats?.capture_fps, 1),
      inference: number(stats?.inference_fps, 1),
      display: number(stats?.display_fps, 1),
      age: number(stats?.age_ms),
      lost: String(lost),
    };
    for (const [name, value] of Object.entries(figures)) view.figures[name].textContent = value;
    view.figures.lost.closest("div").title = Object.entries(stats?.dropped ?? {}).map(([cause, count]) => `${cause}: ${count}`).join(", ") || "no frame was lost";
    const counts = Object.entries(classes).map(([name, count]) => `<li><b>${count}</b> ${escaped(name)}</li>`);
    if (recording) counts.push(`<li class="recording"><b>${recorded}</b> frames recorded</li>`);
    if (viewers > 1) counts.push(`<li><b>${viewers}</b> are looking</li>`);
    const html = counts.join("");
    if (view.counts.innerHTML !== html) view.counts.innerHTML = html;
  }

  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  function mount(root) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const canvas = part("canvas");
    view = {
      root, canvas,
      context: canvas.getContext("bitmaprenderer"),
      stage: part("stage"), note: part("note"), counts: part("counts"), problem: part("problem"),
      pause: part("pause"), stop: part("stop"), record: part("record"), snapshot: part("snapshot"), download: part("download"),
      figures: Object.fromEntries(["capture", "inference", "display", "age", "lost"].map((name) => [name, part(name)])),
    };
    view.pause.onclick = () => send({ do: solov2.status.state === "paused" ? "resume" : "pause" });
    view.stop.onclick = () => send({ do: "stop" });
    view.record.onclick = () => send({ do: solov2.status.recording ? "stop recording" : "record" });
    for (const link of [view.snapshot, view.download]) link.href = new URL(link.getAttribute("href"), base());
    show(solov2.status);
    if (owed) askAgain();
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
  document.addEventListener("visibilitychange", () => owed && isSeen() && askAgain());
  mountAll();
  connect();
})();
