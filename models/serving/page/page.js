// The page of a server of speech: type, listen, and change pitch, length and level by hand.

import WaveSurfer from "./wavesurfer/wavesurfer.esm.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const NO_CHANGE = { pitch: 0, length: 0, level: 0, pause: null };
const STEP = 0.5; // semitones by arrow key
const MOST = 24; // semitones by hand
const PIXELS_PER_S = 170; // at least, and more where fingers point
const PIXELS_PER_S_BY_FINGER = 230;
const MOST_PIXELS_PER_S = 330; // where words need room, which most of them get
const PIXELS_PER_LETTER = 9.5;
const NARROW = 36; // pixels of a word without room for what is changed
const MOST_COLUMNS = 16000; // of a canvas in any browser
const AROUND_S = 0.35; // played round what was changed
const MOST_UNDONE = 200;
const nonce = document.querySelector("script[nonce]").nonce;

// --- What is asked for, and what the server spoke ---

/** Changes of the text, of words by index, of phones by "word:phone"; semitones, powers of two for length, dB, ms. */
let edits = noEdits();
let history = [JSON.stringify(edits)];
let at = 0;
let speech = null; // of the last answer; see assembled
let spoken = null; // the request that it answers
let selected = null; // index of a word
let running = null; // AbortController of the request on its way
let timer = 0;

function noEdits() {
    return { text: { ...NO_CHANGE }, words: {}, phones: {} };
}

/** The speech of parts, which are sentences or several, one after the other. */
function assembled(parts, ofEdits, isWhole) {
    const made = { parts: [], words: [], phones: [], duration: 0, edits: ofEdits, isWhole };
    for (const part of parts) {
        const shift = made.duration - part.start;
        const shifted = (each) => ({ ...each, start: each.start + shift, end: each.end + shift });
        const [words, phones] = [part.words.map(shifted), part.phones.map(shifted)];
        const placed = { ...part, start: made.duration, words, phones };
        made.parts.push(placed);
        made.words.push(...placed.words);
        made.phones.push(...placed.phones);
        made.duration += part.duration;
    }
    return made;
}

function partOf({ audio, sample_rate, start, duration, words, phones, mel }) {
    return {
        start, duration, words, phones, sampleRate: sample_rate, samples: samplesOf(bytesOf(audio)),
        mel: { ...mel, values: bytesOf(mel.values) },
    };
}

const ofWord = (index, from = edits) => from.words[index] ?? NO_CHANGE;
const semitones = (phone, from = edits) =>
    from.text.pitch + ofWord(phone.word, from).pitch + (from.phones[`${phone.word}:${phone.index}`] ?? 0);
const isEdited = () => JSON.stringify(edits) !== JSON.stringify(noEdits());
const rounded = (value, digits = 4) => Number(value.toFixed(digits));
const clamped = (value, low, high) => Math.min(high, Math.max(low, value));

/** The F0 of a phone, as spoken and with what has been changed since. */
const shownHz = (phone) => phone.f0_hz * 2 ** ((semitones(phone) - semitones(phone, speech.edits)) / 12);
const firstHz = (phone) => phone.f0_hz * 2 ** (-semitones(phone, speech.edits) / 12);

/** Prosody as in docs/controls.md. */
function prosody() {
    const made = {};
    const { text } = edits;
    if (text.length) made.pace = rounded(2 ** -text.length);
    if (text.pitch) made.pitch_shift_semitones = text.pitch;
    if (text.level) made.energy_db = text.level;
    const words = new Map();
    const word = (index) => words.get(index) ?? words.set(index, { index }).get(index);
    for (const [key, change] of Object.entries(edits.words)) {
        const of = word(Number(key));
        if (change.length) of.duration = rounded(2 ** change.length);
        if (change.pitch) of.pitch_shift_semitones = change.pitch;
        if (change.level) of.energy_db = change.level;
        if (change.pause !== null) of.pause_after_ms = change.pause;
    }
    for (const [key, pitch_shift_semitones] of Object.entries(edits.phones)) {
        const [of, index] = key.split(":").map(Number);
        (word(of).phones ??= []).push({ index, pitch_shift_semitones });
    }
    const changed = [...words.values()].filter((each) => Object.keys(each).length > 1);
    if (changed.length) made.words = changed.sort((one, other) => one.index - other.index);
    return made;
}

/** What is asked for: the form, or the text that is shown with its changes. */
function request(isOfForm = !spoken) {
    const body = isOfForm
        ? { input: $("text").value.trim(), voice: $("voice").value }
        : { input: spoken.input, voice: spoken.voice };
    const language = isOfForm ? $("language").value : spoken.language;
    if (language) body.language = language;
    if (isEdited()) body.prosody = prosody();
    return body;
}

function setChange(place, values) {
    if (place === null) Object.assign(edits.text, values);
    else {
        edits.words[place] = { ...ofWord(place), ...values };
        if (JSON.stringify(edits.words[place]) === JSON.stringify(NO_CHANGE)) delete edits.words[place];
    }
}

function setPhone(phone, value) {
    const key = `${phone.word}:${phone.index}`;
    const shift = rounded(clamped(value, -MOST, MOST), 2);
    if (shift) edits.phones[key] = shift;
    else delete edits.phones[key];
}

const phoneShift = (phone) => edits.phones[`${phone.word}:${phone.index}`] ?? 0;

/** Keep a change for undo, and speak it: at once, or after a moment in which keys may add to it. */
function commit(delay = 0) {
    const made = JSON.stringify(edits);
    if (made !== history[at]) {
        history = [...history.slice(0, at + 1), made].slice(-MOST_UNDONE);
        at = history.length - 1;
    }
    speakSoon(delay);
}

function speakSoon(delay) {
    clearTimeout(timer);
    showEdits();
    if (!running && JSON.stringify(edits) === JSON.stringify(speech.edits)) return;
    timer = setTimeout(() => speak({ isChange: true }), delay);
}

function travel(step) {
    if (!history[at + step]) return;
    at += step;
    edits = JSON.parse(history[at]);
    speakSoon(0);
}

// --- Calls ---

function headers() {
    const token = $("token").value;
    return token ? { Authorization: `Bearer ${token}` } : {};
}

async function call(path, options = {}) {
    let answer;
    try {
        answer = await fetch(path, { ...options, headers: { ...options.headers, ...headers() } });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Error("The server does not answer.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) $("token_row").hidden = false;
    const problem = await answer.json().catch(() => null);
    throw new Error(problem?.error?.message ?? `The server answers ${answer.status}.`);
}

async function* lines(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
        const { value, done } = await reader.read();
        const parts = (rest + (value ?? "")).split("\n");
        rest = done ? "" : parts.pop();
        for (const part of parts) if (part) yield JSON.parse(part);
        if (done) return;
    }
}

let voices = [];

async function loadVoices() {
    voices = (await (await call("v1/audio/voices")).json()).voices;
    const chosen = $("voice").value;
    $("voice").replaceChildren(
        ...voices.map(({ id, speakers }) => {
            if ((speakers?.length ?? 0) < 2) return new Option(id, id);
            const group = document.createElement("optgroup");
            group.label = id;
            group.append(...speakers.map((speaker) => new Option(speaker, `${id}/${speaker}`)));
            return group;
        }),
    );
    const options = [...$("voice").options].map(({ value }) => value);
    const ofChosen = options.find((each) => each === chosen) ?? options.find((each) => each.startsWith(`${chosen}/`));
    $("voice").value = ofChosen ?? options[0];
    showLanguages();
}

function showLanguages() {
    const chosen = $("language").value;
    const voice = voices.find(({ id }) => id === $("voice").value.split("/")[0]);
    const names = new Intl.DisplayNames(undefined, { type: "language" });
    const named = (code) => { try { return names.of(code); } catch { return code; } };
    $("language").replaceChildren(
        new Option("the voice’s own", ""),
        ...(voice?.languages ?? []).map((code) => new Option(named(code), code)),
    );
    $("language").value = voice?.languages?.includes(chosen) ? chosen : "";
    const language = $("language").value || (voice?.languages?.[0] ?? "");
    $("text").lang = $("words").lang = language;
    const isExample = $("text").value === $("text").defaultValue; // which is English
    if (isExample && language && !language.startsWith("en")) $("text").value = "";
}

const unknownSpeakers = () => voices.some(({ id, speakers }) => speakers === null && id === $("voice").value);

/** Speak what is asked for; what was changed is played alone, with what is round it. */
async function speak({ isChange = false } = {}) {
    clearTimeout(timer);
    running?.abort();
    const own = (running = new AbortController());
    const asked = request(!isChange);
    if (spoken && ["input", "voice", "language"].some((key) => asked[key] !== spoken[key])) {
        edits = noEdits(); // those were of another text
        history = [JSON.stringify(edits)];
        at = 0;
    }
    const body = request(!isChange);
    if (!body.input) {
        $("text").focus();
        return say("There is no text yet.", true);
    }
    player.wake();
    const changed = isChange && speech ? changedWords(speech.edits, edits) : null;
    player.stop();
    document.body.classList.add("updating");
    say(isChange ? "Speaking the change …" : "Speaking …");
    const wasUnknown = unknownSpeakers();
    try {
        const begun = performance.now();
        const answer = await call("v1/audio/speech/details", {
            method: "POST", body: JSON.stringify(body), signal: own.signal,
            headers: { "Content-Type": "application/json" },
        });
        const ofEdits = JSON.parse(JSON.stringify(edits));
        const before = speech?.parts ?? [];
        const parts = [];
        let first = null;
        let isHeard = false;
        for await (const line of lines(answer)) {
            if (own.signal.aborted) return;
            first ??= performance.now() - begun;
            parts.push(partOf(line));
            if (changed === null) {
                speech = assembled(parts, ofEdits, false);
                spoken = body;
                if (parts.length === 1) player.play(0);
                else player.more();
                show();
            } else if (!isHeard && parts.at(-1).words.some(({ index }) => index >= Math.max(...changed))) {
                speech = assembled([...parts, ...before.slice(parts.length)], ofEdits, false); // the rest is as it was
                show();
                playChange(changed);
                isHeard = true;
            }
        }
        speech = assembled(parts, ofEdits, true);
        spoken = body;
        show();
        say(`${speech.duration.toFixed(1)} seconds of speech, the first sound after ${(first / 1000).toFixed(2)} s.`);
        if (wasUnknown) await loadVoices();
    } catch (error) {
        if (error.name === "AbortError") return;
        if (wasUnknown) {
            await loadVoices().catch(() => {});
            if (!unknownSpeakers() && $("voice").value !== body.voice) return await speak();
        }
        say(error.message, true);
    } finally {
        if (running === own) {
            running = null;
            document.body.classList.remove("updating");
        }
    }
}

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The 16-bit samples of a WAV file. */
function samplesOf(bytes) {
    const view = new DataView(bytes.buffer);
    let place = 12;
    while (view.getUint32(place, false) !== 0x64617461) place += 8 + view.getUint32(place + 4, true); // "data"
    return new Int16Array(bytes.buffer.slice(place + 8, place + 8 + view.getUint32(place + 4, true)));
}

/** The words that differ between two states of edits; null where the whole text does. */
function changedWords(before, after) {
    const found = new Set();
    const keys = new Set([...Object.keys(before.words), ...Object.keys(after.words)]);
    for (const key of keys) {
        if (JSON.stringify(ofWord(key, before)) !== JSON.stringify(ofWord(key, after))) found.add(Number(key));
    }
    for (const key of new Set([...Object.keys(before.phones), ...Object.keys(after.phones)])) {
        if (before.phones[key] !== after.phones[key]) found.add(Number(key.split(":")[0]));
    }
    return found.size && JSON.stringify(before.text) === JSON.stringify(after.text) ? found : null;
}

function playChange(words) {
    const of = speech.words.filter(({ index }) => words.has(index));
    player.play(Math.max(0, of[0].start - AROUND_S), Math.min(speech.duration, of.at(-1).end + AROUND_S));
}

// --- Sound ---

const player = {
    context: null,
    sources: [],
    from: 0, // seconds of the speech at `begun`
    begun: 0,
    until: Infinity,
    isPlaying: false,
    plays: 0,
    nScheduled: 0,

    wake() {
        this.context ??= new AudioContext();
        this.context.resume();
    },
    get position() {
        if (!this.isPlaying) return this.from;
        return clamped(this.from + this.context.currentTime - this.begun, 0, Math.min(this.until, speech.duration));
    },
    play(from, until = Infinity) {
        this.wake();
        this.stop();
        this.plays += 1;
        Object.assign(this, { from, until, begun: this.context.currentTime + 0.04, isPlaying: true, nScheduled: 0 });
        this.more();
        frame();
    },
    /** Schedule what has arrived. */
    more() {
        if (!this.isPlaying) return;
        for (; this.nScheduled < speech.parts.length; this.nScheduled++) {
            const { start, samples, sampleRate } = speech.parts[this.nScheduled];
            const length = samples.length / sampleRate;
            const skipped = Math.max(0, this.from - start);
            if (skipped >= length || start >= this.until) continue;
            const buffer = this.context.createBuffer(1, samples.length, sampleRate);
            buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
            const source = this.context.createBufferSource();
            source.buffer = buffer;
            source.connect(this.context.destination);
            let when = this.begun + start + skipped - this.from;
            const late = this.context.currentTime - when;
            if (late > 0) { // it arrived after its time
                this.begun += late + 0.02;
                when += late + 0.02;
            }
            source.start(when, skipped, Math.min(length, this.until - start) - skipped);
            this.sources.push(source);
        }
    },
    stop() {
        this.from = this.position;
        this.isPlaying = false;
        for (const source of this.sources) source.stop();
        this.sources = [];
        showPosition();
    },
    end() {
        const back = this.until === Infinity ? 0 : this.from;
        this.stop();
        this.from = back;
        showPosition();
    },
    toggle() {
        if (!speech) return;
        if (this.isPlaying) this.stop();
        else this.play(this.from >= speech.duration - 0.05 ? 0 : this.from);
    },
    seek(to) {
        const wasPlaying = this.isPlaying;
        this.stop();
        this.from = clamped(to, 0, speech.duration);
        if (wasPlaying) this.play(this.from);
        showPosition();
    },
};

function frame() {
    if (!player.isPlaying) return;
    const isOver = player.position >= Math.min(player.until, speech.duration) - 1e-3;
    if (isOver && (speech.isWhole || player.until < Infinity)) return player.end();
    showPosition();
    requestAnimationFrame(frame);
}

// --- Sight ---

let scale = PIXELS_PER_S;
let pitchRange = [80, 400];
let wave = null;
const MARGIN = 14; // of the pitch in its box, in pixels

function say(sentence, isError = false) {
    $("status").textContent = sentence;
    $("status").classList.toggle("error", isError);
}

const left = (element, px, width) => {
    element.style.left = `${px}px`;
    if (width !== undefined) element.style.width = `${width}px`;
};

function made(name, properties = {}, parent = null) {
    const element = document.createElement(name);
    Object.assign(element, properties);
    parent?.append(element);
    return element;
}

function drawn(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
}

const signed = (value, unit) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${rounded(Math.abs(value), 1)} ${unit}`;
const percent = (length) => `${Math.round(100 * 2 ** length)} %`;

/** Show all of the speech: after an answer, and in another width. */
function show() {
    if (!speech) return;
    $("empty").hidden = true;
    for (const id of ["scroller", "inspector", "results"]) $(id).hidden = false;
    $("play").disabled = false;
    if (selected !== null && !speech.words.some(({ index }) => index === selected)) selected = null;
    const style = getComputedStyle($("scroller"));
    const room = $("scroller").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const least = matchMedia("(pointer: coarse)").matches || room < 500 ? PIXELS_PER_S_BY_FINGER : PIXELS_PER_S;
    const wanted = Math.max(least, Math.min(roomOfWords(), MOST_PIXELS_PER_S));
    const whole = room / speech.duration; // a little narrower is better than scrolling for a little
    scale = whole > Math.max(least, 0.72 * wanted) ? whole : wanted;
    $("timeline").style.width = `${scale * speech.duration}px`;
    setPitchRange();
    showMel();
    showWords();
    showPhones();
    showPitch();
    showWave();
    showEdits();
    showPosition();
}

/** Pixels per second in which nine words of ten can be read. */
function roomOfWords() {
    const needed = speech.words.map(({ word, start, end }) => (8 + PIXELS_PER_LETTER * word.length) / (end - start));
    return needed.sort((one, other) => one - other)[Math.floor(0.9 * (needed.length - 1))] ?? 0;
}

function setPitchRange() {
    const voiced = speech.phones.filter(({ voiced }) => voiced).map(({ f0_hz }) => f0_hz).filter((hz) => hz > 0);
    if (!voiced.length) return;
    const octaveParts = 2 ** (5 / 12);
    pitchRange = [Math.min(...voiced) / octaveParts, Math.max(...voiced) * octaveParts];
}

const pitchHeight = () => $("melody").clientHeight - 2 * MARGIN;
const heightOf = (hz) => {
    const place = Math.log(hz / pitchRange[0]) / Math.log(pitchRange[1] / pitchRange[0]);
    // What is beyond is at the edge until it is spoken, which widens the range.
    return MARGIN + pitchHeight() * (1 - clamped(place, 0, 1));
};
const semitonesPerPixel = () => (12 * Math.log2(pitchRange[1] / pitchRange[0])) / pitchHeight();

function showMel() {
    const canvas = $("mel");
    const mels = speech.parts.map(({ mel }) => mel);
    const nFrames = mels.reduce((sum, { n_frames }) => sum + n_frames, 0);
    const nMel = mels[0].n_mel;
    const colours = colourMap();
    const low = Math.min(...mels.map(({ min }) => min));
    const high = Math.max(...mels.map(({ max }) => max));
    const floor = Math.max(low, high - 9); // nepers below which there is only noise
    const every = Math.ceil(nFrames / MOST_COLUMNS);
    canvas.width = Math.ceil(nFrames / every);
    canvas.height = nMel;
    const picture = new ImageData(canvas.width, nMel);
    let first = 0;
    for (const { n_frames, min, max, values } of mels) {
        for (let frame = (every - (first % every)) % every; frame < n_frames; frame += every) {
            for (let band = 0; band < nMel; band++) {
                const value = min + (values[frame * nMel + band] / 255) * (max - min);
                const colour = Math.round(255 * clamped((value - floor) / (high - floor), 0, 1));
                picture.data.set(colours[colour], 4 * ((nMel - 1 - band) * canvas.width + (first + frame) / every));
            }
        }
        first += n_frames;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
}

function colourMap() {
    const style = getComputedStyle(document.documentElement);
    const stops = [0, 1, 2, 3].map((index) => {
        const hex = style.getPropertyValue(`--mel_${index}`).trim();
        return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
    });
    return Array.from({ length: 256 }, (_, value) => {
        const place = (value / 255) * (stops.length - 1);
        const stop = Math.min(Math.floor(place), stops.length - 2);
        return [...stops[stop].map((from, part) => from + (place - stop) * (stops[stop + 1][part] - from)), 255];
    });
}

function showWords() {
    const held = document.activeElement?.closest?.(".word")?.dataset.index;
    $("words").replaceChildren();
    for (const word of speech.words) {
        const button = made("button", { type: "button", className: "word" }, $("words"));
        button.dataset.index = word.index;
        left(button, word.start * scale + 1, (word.end - word.start) * scale - 2);
        button.classList.toggle("narrow", (word.end - word.start) * scale < NARROW);
        made("span", { textContent: word.word }, button);
        made("small", {}, button);
        made("span", { className: "grip" }, button);
        button.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight ArrowUp ArrowDown + - Delete");
    }
    if (held !== undefined) wordButton(held)?.focus({ preventScroll: true });
}

const wordButton = (index) => $("words").querySelector(`[data-index="${index}"]`);

const shownPhone = (phone) => phone.replace(/^@/, "").replace(/[012]$/, ""); // without the stress

function showPhones() {
    $("phones").replaceChildren();
    for (const phone of speech.phones) {
        const shown = made("span", { className: "phone", title: phone.phone }, $("phones"));
        shown.textContent = shownPhone(phone.phone);
        shown.setAttribute("role", "listitem");
        left(shown, phone.start * scale, (phone.end - phone.start) * scale);
    }
}

const isPitched = (phone) => phone.voiced && phone.f0_hz > 0;
const middle = (phone) => ((phone.start + phone.end) / 2) * scale;

function curve(phones, hz) {
    let path = "";
    let before = null;
    for (const phone of phones) {
        const [x, y] = [middle(phone), heightOf(hz(phone))];
        if (before && phone.start - before.end < 0.12) {
            const bend = (middle(before) + x) / 2;
            path += `C${bend} ${heightOf(hz(before))} ${bend} ${y} ${x} ${y}`;
        } else path += `M${x} ${y}`;
        before = phone;
    }
    return path;
}

/** Draw the axis, the curve and a node for each voiced phone. */
function showPitch() {
    const held = document.activeElement?.closest?.(".node")?.dataset.key;
    const svg = $("pitch");
    svg.replaceChildren();
    const width = speech.duration * scale;
    for (const hz of [50, 75, 100, 150, 200, 300, 400, 600]) {
        if (hz < pitchRange[0] || hz > pitchRange[1]) continue;
        drawn("line", { class: "grid", x1: 0, x2: width, y1: heightOf(hz), y2: heightOf(hz) }, svg);
        drawn("text", { class: "hz", y: heightOf(hz) - 4 }, svg).textContent = `${hz} Hz`;
    }
    keepAxis();
    drawn("rect", { class: "band", y: 0, height: "100%", width: 0 }, svg);
    for (const name of ["ghost", "halo", "curve"]) drawn("path", { class: name }, svg);
    for (const phone of speech.phones.filter(isPitched)) {
        const node = drawn("g", { class: "node", role: "slider", tabindex: -1, "aria-orientation": "vertical" }, svg);
        node.dataset.key = `${phone.word}:${phone.index}`;
        node.phone = phone;
        const word = speech.words.find(({ index }) => index === phone.word);
        node.setAttribute("aria-label", `Pitch of ${phone.phone} in ${word?.word ?? ""}`);
        node.setAttribute("aria-valuemin", -MOST);
        node.setAttribute("aria-valuemax", MOST);
        drawn("circle", { class: "reach", r: 15 }, node);
        drawn("circle", { class: "dot", r: 5.5 }, node);
    }
    placePitch();
    const focused = held && svg.querySelector(`[data-key="${held}"]`);
    (focused ?? svg.querySelector(".node"))?.setAttribute("tabindex", 0);
    focused?.focus({ preventScroll: true });
}

/** Keep the axis in sight. */
function keepAxis() {
    const style = getComputedStyle($("scroller"));
    const x = Math.max(6, $("scroller").scrollLeft - parseFloat(style.paddingLeft) + 12);
    for (const label of $("pitch").querySelectorAll(".hz")) label.setAttribute("x", x);
}

function placePitch() {
    const svg = $("pitch");
    const voiced = speech.phones.filter(isPitched);
    const path = curve(voiced, shownHz);
    svg.querySelector(".curve").setAttribute("d", path);
    svg.querySelector(".halo").setAttribute("d", path);
    const isMoved = voiced.some((phone) => semitones(phone) !== 0);
    svg.querySelector(".ghost").setAttribute("d", isMoved ? curve(voiced, firstHz) : "");
    const word = speech.words.find(({ index }) => index === selected);
    const band = svg.querySelector(".band");
    band.setAttribute("x", word ? word.start * scale : 0);
    band.setAttribute("width", word ? (word.end - word.start) * scale : 0);
    for (const node of svg.querySelectorAll(".node")) {
        const { phone } = node;
        const shift = phoneShift(phone);
        node.setAttribute("transform", `translate(${middle(phone)} ${heightOf(shownHz(phone))})`);
        node.setAttribute("aria-valuenow", shift);
        node.setAttribute("aria-valuetext", `${signed(shift, "semitones")}, ${Math.round(shownHz(phone))} Hz`);
        node.classList.toggle("changed", shift !== 0);
    }
}

function showWave() {
    const style = getComputedStyle(document.documentElement);
    const colour = style.getPropertyValue("--wave").trim();
    wave ??= WaveSurfer.create({
        container: "#wave", height: 64, cursorWidth: 0, interact: false, cspNonce: nonce, hideScrollbar: true,
        barWidth: 2, barGap: 1, barRadius: 2, normalize: true, waveColor: colour, progressColor: colour,
    });
    wave.setOptions({ waveColor: colour, progressColor: colour });
    wave.load("", [Float32Array.from(allSamples(), (sample) => sample / 32768)], speech.duration).catch(() => {});
}

function allSamples() {
    const joined = new Int16Array(speech.parts.reduce((sum, { samples }) => sum + samples.length, 0));
    let place = 0;
    for (const { samples } of speech.parts) {
        joined.set(samples, place);
        place += samples.length;
    }
    return joined;
}

/** Show what is changed: on words, in the sliders, and for those who undo. */
function showEdits() {
    $("undo").disabled = at === 0;
    $("redo").disabled = at === history.length - 1;
    $("reset").disabled = !isEdited();
    if (!speech) return;
    placePitch();
    for (const button of $("words").children) {
        const index = Number(button.dataset.index);
        const { pitch, length, level, pause } = ofWord(index);
        const parts = [];
        if (pitch) parts.push(signed(pitch, "st"));
        if (length) parts.push(percent(length));
        if (level) parts.push(signed(level, "dB"));
        if (pause !== null) parts.push(`${pause} ms`);
        button.querySelector("small").textContent = parts.join(" · ");
        button.classList.toggle("changed", parts.length > 0);
        button.setAttribute("aria-pressed", index === selected);
        button.tabIndex = index === (selected ?? speech.words[0].index) ? 0 : -1;
    }
    const change = selected === null ? edits.text : ofWord(selected);
    $("selected").textContent =
        selected === null ? "Whole text" : `“${speech.words.find(({ index }) => index === selected).word}”`;
    $("whole").hidden = selected === null;
    for (const element of document.querySelectorAll(".of_word")) element.hidden = selected === null;
    const shown = {
        pitch_shift: [change.pitch, signed(change.pitch, "st")],
        length: [change.length, percent(change.length)],
        level: [change.level, signed(change.level, "dB")],
        pause: [change.pause ?? -20, change.pause === null ? "as spoken" : `${change.pause} ms`],
    };
    for (const [id, [value, text]] of Object.entries(shown)) {
        $(id).value = value;
        $(id).setAttribute("aria-valuetext", text);
        $(`${id}_shown`).textContent = text;
    }
    $("curl").textContent = curl();
}

function showPosition() {
    $("stage").classList.toggle("playing", player.isPlaying);
    $("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
    if (!speech) return;
    const { position } = player;
    const x = position * scale;
    $("time").textContent = `${position.toFixed(1)} of ${speech.duration.toFixed(1)} s`;
    $("playhead").style.transform = `translateX(${x}px)`;
    for (const [place, word] of speech.words.entries()) {
        const isSounding = player.isPlaying && word.start <= position && position < word.end;
        $("words").children[place]?.classList.toggle("sounding", isSounding);
    }
    const scroller = $("scroller");
    const isAside = x < scroller.scrollLeft || x > scroller.scrollLeft + scroller.clientWidth - 40;
    if (player.isPlaying && isAside) scroller.scrollLeft = x - 40;
}

function tip(event, text) {
    $("tip").hidden = false;
    $("tip").textContent = text;
    $("tip").style.left = `${event.clientX}px`;
    $("tip").style.top = `${event.clientY}px`;
}

function select(word) {
    selected = word;
    showEdits();
}

// --- By hand ---

/** Follow the pointer from where it went down: `move` gets the distances in pixels, `done` whether it moved at all. */
function drag(event, element, move, done) {
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    let isMoved = false;
    const moved = (now) => {
        const [x, y] = [now.clientX - event.clientX, now.clientY - event.clientY];
        isMoved ||= Math.hypot(x, y) > 2;
        if (isMoved) move(x, y, now);
    };
    const ended = () => {
        element.removeEventListener("pointermove", moved);
        $("tip").hidden = true;
        done(isMoved);
    };
    element.addEventListener("pointermove", moved);
    element.addEventListener("pointerup", ended, { once: true });
    element.addEventListener("pointercancel", ended, { once: true });
}

$("pitch").addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".node")) return;
    // Where nodes are near each other, the nearest one, not the one on top.
    const away = (each) => {
        const { x, y, width, height } = each.querySelector(".dot").getBoundingClientRect();
        return Math.hypot(x + width / 2 - event.clientX, y + height / 2 - event.clientY);
    };
    const nodes = [...$("pitch").querySelectorAll(".node")];
    const node = nodes.reduce((one, other) => (away(other) < away(one) ? other : one));
    const { phone } = node;
    const start = phoneShift(phone);
    focusNode(node);
    node.classList.add("held");
    drag(
        event,
        node,
        (_, y, now) => {
            setPhone(phone, Math.round((start - y * semitonesPerPixel()) * 10) / 10);
            showEdits();
            tip(now, `${signed(phoneShift(phone), "st")} · ${Math.round(shownHz(phone))} Hz`);
        },
        (isMoved) => {
            node.classList.remove("held");
            if (isMoved) commit();
        },
    );
});

$("words").addEventListener("pointerdown", (event) => {
    const button = event.target.closest(".word");
    if (!button || !event.target.closest(".grip")) return;
    const index = Number(button.dataset.index);
    const start = ofWord(index).length;
    const width = button.offsetWidth;
    select(index);
    drag(
        event,
        button,
        (x, _, now) => {
            const length = clamped(start + Math.log2(Math.max(width + x, 4) / width), -1, 1);
            setChange(index, { length: rounded(length, 2) });
            button.style.width = `${width * 2 ** (ofWord(index).length - start)}px`;
            showEdits();
            tip(now, percent(ofWord(index).length));
        },
        (isMoved) => isMoved && commit(),
    );
});

$("words").addEventListener("click", (event) => {
    const button = event.target.closest(".word");
    if (!button) return;
    select(Number(button.dataset.index));
    button.focus({ preventScroll: true });
});

$("words").addEventListener("dblclick", (event) => event.target.closest(".word") && listen());

for (const id of ["melody", "phones", "wave"]) {
    $(id).addEventListener("click", (event) => {
        if (event.target.closest(".node")) return;
        player.seek((event.clientX - $("timeline").getBoundingClientRect().left) / scale);
    });
}

function listen() {
    if (selected === null) return player.play(0);
    const word = speech.words.find(({ index }) => index === selected);
    player.play(Math.max(0, word.start - 0.03), word.end + 0.03);
}

for (const [id, name] of [["pitch_shift", "pitch"], ["length", "length"], ["level", "level"], ["pause", "pause"]]) {
    $(id).addEventListener("input", () => {
        const value = Number($(id).value);
        setChange(selected, { [name]: name === "pause" && value < 0 ? null : value });
        showEdits();
    });
    $(id).addEventListener("change", () => commit(150));
}

function step(direction) {
    const indices = speech.words.map(({ index }) => index);
    const place = indices.indexOf(selected);
    const last = indices.length - 1;
    const next = place >= 0 ? place + direction : direction > 0 ? 0 : last;
    select(indices[clamped(next, 0, last)]);
    wordButton(selected).scrollIntoView({ block: "nearest", inline: "nearest" });
}

// --- By keyboard ---

function focusNode(node) {
    for (const each of $("pitch").querySelectorAll(".node")) each.setAttribute("tabindex", each === node ? 0 : -1);
    node.focus({ preventScroll: true });
    select(node.phone.word);
}

$("pitch").addEventListener("keydown", (event) => {
    const node = event.target.closest(".node");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const nodes = [...$("pitch").querySelectorAll(".node")];
    const goTo = (place) => {
        const next = nodes[clamped(place, 0, nodes.length - 1)];
        focusNode(next);
        next.scrollIntoView({ block: "nearest", inline: "nearest" });
    };
    const by = (shift) => {
        setPhone(node.phone, phoneShift(node.phone) + shift);
        commit(350);
    };
    const keys = {
        ArrowUp: () => by(event.shiftKey ? 4 * STEP : STEP),
        ArrowDown: () => by(event.shiftKey ? -4 * STEP : -STEP),
        PageUp: () => by(4 * STEP),
        PageDown: () => by(-4 * STEP),
        ArrowLeft: () => goTo(nodes.indexOf(node) - 1),
        ArrowRight: () => goTo(nodes.indexOf(node) + 1),
        Home: () => goTo(0),
        End: () => goTo(nodes.length - 1),
        Delete: () => by(-phoneShift(node.phone)),
        Backspace: () => by(-phoneShift(node.phone)),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
});

$("words").addEventListener("keydown", (event) => {
    const button = event.target.closest(".word");
    if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = Number(button.dataset.index);
    const change = ofWord(index);
    const set = (values) => {
        select(index);
        setChange(index, values);
        commit(350);
    };
    const goTo = (direction) => {
        selected = index;
        step(direction);
        wordButton(selected).focus();
    };
    const keys = {
        ArrowLeft: () => goTo(-1),
        ArrowRight: () => goTo(1),
        ArrowUp: () => set({ level: clamped(change.level + 1, -12, 12) }),
        ArrowDown: () => set({ level: clamped(change.level - 1, -12, 12) }),
        "+": () => set({ length: rounded(clamped(change.length + 0.1, -1, 1), 2) }),
        "=": () => set({ length: rounded(clamped(change.length + 0.1, -1, 1), 2) }),
        "-": () => set({ length: rounded(clamped(change.length - 0.1, -1, 1), 2) }),
        Delete: () => set(NO_CHANGE),
        Backspace: () => set(NO_CHANGE),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
});

document.addEventListener("keydown", (event) => {
    const isInText = event.target.closest("textarea, input[type=password]");
    const isCommand = event.ctrlKey || event.metaKey;
    if (isCommand && event.key === "Enter") {
        event.preventDefault();
        speak();
    } else if (isCommand && event.key.toLowerCase() === "z" && !isInText) {
        event.preventDefault();
        travel(event.shiftKey ? 1 : -1);
    } else if (isCommand && event.key.toLowerCase() === "y" && !isInText) {
        event.preventDefault();
        travel(1);
    } else if (event.key === " " && !isInText && !event.target.closest("button:not(.word), select, summary")) {
        event.preventDefault();
        player.toggle();
    } else if (event.key === "Escape" && selected !== null) select(null);
});

// --- To take away ---

function save(name, content, type) {
    const url = URL.createObjectURL(new Blob([content], { type }));
    made("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function wav() {
    const samples = allSamples();
    const header = new DataView(new ArrayBuffer(44));
    const write = (place, text) => {
        for (let index = 0; index < text.length; index++) header.setUint8(place + index, text.charCodeAt(index));
    };
    write(0, "RIFF");
    header.setUint32(4, 36 + 2 * samples.length, true);
    write(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true);
    header.setUint16(22, 1, true);
    header.setUint32(24, speech.parts[0].sampleRate, true);
    header.setUint32(28, 2 * speech.parts[0].sampleRate, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true);
    write(36, "data");
    header.setUint32(40, 2 * samples.length, true);
    return new Blob([header, samples]);
}

function tier(name, number, intervals) {
    const filled = [];
    let reached = 0;
    for (const { start, end, label } of intervals) {
        if (start > reached + 1e-4) filled.push([reached, start, ""]);
        filled.push([Math.max(start, reached), end, label]);
        reached = end;
    }
    if (speech.duration > reached + 1e-4) filled.push([reached, speech.duration, ""]);
    const listed = filled.map(
        ([start, end, label], index) =>
            `        intervals [${index + 1}]:\n            xmin = ${rounded(start)}\n` +
            `            xmax = ${rounded(end)}\n            text = "${label.replaceAll('"', '""')}"\n`,
    );
    return (
        `    item [${number}]:\n        class = "IntervalTier"\n        name = "${name}"\n        xmin = 0\n` +
        `        xmax = ${rounded(speech.duration)}\n        intervals: size = ${filled.length}\n${listed.join("")}`
    );
}

function textGrid() {
    const words = speech.words.map((each) => ({ ...each, label: each.word }));
    const phones = speech.phones.map((each) => ({ ...each, label: each.phone }));
    return (
        `File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = ${rounded(speech.duration)}\n` +
        `tiers? <exists>\nsize = 2\nitem []:\n${tier("words", 1, words)}${tier("phones", 2, phones)}`
    );
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text) => text.replace(/[&<>"]/g, (each) => ENTITIES[each]);
const plus = (value, unit) => `${value < 0 ? "-" : "+"}${rounded(Math.abs(value), 2)}${unit}`;

/** The parts of the text with their words: each word where it is written, or several that are written as one ("42"). */
function writtenWords(text, words) {
    const found = [];
    let place = 0;
    let waiting = []; // words that are not written as they are spoken
    const lower = text.toLowerCase();
    for (const word of words) {
        let start = lower.indexOf(word.word.toLowerCase(), place);
        const isLetter = (index) => /[\p{L}\p{N}]/u.test(text[index] ?? "");
        while (start >= 0 && (isLetter(start - 1) || isLetter(start + word.word.length))) {
            start = lower.indexOf(word.word.toLowerCase(), start + 1);
        }
        if (start < 0) {
            waiting.push(word);
            continue;
        }
        if (waiting.length) found.push({ start: place, end: start, words: waiting });
        waiting = [];
        place = start + word.word.length;
        found.push({ start, end: place, words: [word] });
    }
    if (waiting.length) found.push({ start: place, end: text.length, words: waiting });
    return found.map((each) => {
        const inside = text.slice(each.start, each.end);
        const first = inside.search(/[\p{L}\p{N}]/u);
        const before = first < 0 ? 0 : first;
        const after = inside.match(/[^\p{L}\p{N}]*$/u)[0].length;
        return { ...each, start: each.start + before, end: Math.max(each.end - after, each.start + before) };
    });
}

function prosodyElement({ pitch, length, level }, contour, content) {
    const attributes = [];
    if (contour) attributes.push(`contour="${contour}"`);
    else if (pitch) attributes.push(`pitch="${plus(pitch, "st")}"`);
    if (length) attributes.push(`rate="${Math.round(100 * 2 ** -length)}%"`);
    if (level) attributes.push(`volume="${plus(level, "dB")}"`);
    return attributes.length ? `<prosody ${attributes.join(" ")}>${content}</prosody>` : content;
}

/** What was changed as SSML 1.1; the pitch of phones as a contour of their word. */
function ssml() {
    const text = spoken.input;
    let content = "";
    let place = 0;
    for (const { start, end, words } of writtenWords(text, speech.words)) {
        content += escaped(text.slice(place, start));
        const change = ofWord(words[0].index);
        const indices = words.map(({ index }) => index);
        const phones = speech.phones.filter((phone) => indices.includes(phone.word) && isPitched(phone));
        const isBent =
            phones.some((phone) => phoneShift(phone)) || words.some(({ index }) => ofWord(index).pitch !== change.pitch);
        const [first, last] = [words[0].start, words.at(-1).end];
        const points = phones.flatMap((phone) => {
            const shift = plus(ofWord(phone.word).pitch + phoneShift(phone), "st");
            return [phone.start, phone.end].map((when) => `(${rounded((100 * (when - first)) / (last - first), 1)}%,${shift})`);
        });
        content += prosodyElement(change, isBent ? points.join(" ") : "", escaped(text.slice(start, end)));
        const { pause } = ofWord(words.at(-1).index);
        if (pause !== null) content += `<break time="${pause}ms"/>`;
        place = end;
    }
    content += escaped(text.slice(place));
    const voice = voices.find(({ id }) => id === spoken.voice.split("/")[0]);
    const language = spoken.language ?? voice?.languages?.[0] ?? "en";
    return (
        `<?xml version="1.0" encoding="UTF-8"?>\n<speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" ` +
        `xml:lang="${escaped(language)}">${prosodyElement(edits.text, "", content)}</speak>\n`
    );
}

function curl() {
    const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
    const body = JSON.stringify({ ...request(), response_format: "wav" });
    const token = $("token").value ? ` -H "Authorization: Bearer $RECITAL_TOKEN"` : "";
    const url = new URL("v1/audio/speech", location.href);
    return `curl ${url} -H 'Content-Type: application/json'${token} \\\n  -d ${quoted(body)} -o speech.wav`;
}

$("save_wav").addEventListener("click", () => save("speech.wav", wav(), "audio/wav"));
$("save_textgrid").addEventListener("click", () => save("speech.TextGrid", textGrid(), "text/plain"));
$("save_ssml").addEventListener("click", () => save("speech.ssml", ssml(), "application/ssml+xml"));
$("copy_curl").addEventListener("click", async () => {
    try {
        await navigator.clipboard.writeText(curl());
        say("The line is on the clipboard.");
    } catch {
        getSelection().selectAllChildren($("curl"));
        say("The clipboard is closed to this page; the line is selected.");
    }
});

// --- The rest ---

$("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
});
$("play").addEventListener("click", () => player.toggle());
$("undo").addEventListener("click", () => travel(-1));
$("redo").addEventListener("click", () => travel(1));
$("reset").addEventListener("click", () => {
    edits = noEdits();
    commit();
});
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("listen").addEventListener("click", listen);
$("whole").addEventListener("click", () => select(null));
for (const id of ["voice", "language"]) $(id).addEventListener("change", showLanguages);
$("token").value = sessionStorage.getItem("token") ?? "";
$("token_row").hidden = !$("token").value;
$("token").addEventListener("change", () => {
    sessionStorage.setItem("token", $("token").value);
    loadVoices().then(() => say(""), (error) => say(error.message, true));
});
$("scroller").addEventListener("scroll", keepAxis, { passive: true });
let width = 0;
new ResizeObserver(() => {
    if ($("stage").clientWidth !== width) show();
    width = $("stage").clientWidth;
}).observe($("stage"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
loadVoices().catch((error) => say(error.message, true));

// For tests and for those who look behind: what is asked for, and what was spoken.
window.recital = {
    get edits() { return edits; },
    get speech() { return speech; },
    get plays() { return player.plays; },
    request: () => request(), wav, textGrid, ssml, curl,
};
