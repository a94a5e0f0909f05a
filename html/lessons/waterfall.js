/* For waterfall.html: loads twelve files and draws what the browser has measured for each (Resource Timing is the name
 * of the standard); and holds a connection, as a slow client does. */
"use strict";

const REQUESTS = 12;
const HOLD = 25000; // milliseconds that a connection is held at most: by then every server has given it up
const WORDS = {
    en: {
        load: "Load 12 files", hold: "Hold a connection, and load 12 files", release: "Let the connection go",
        queued: "queued in the browser", connecting: "connecting", waiting: "waiting", receiving: "receiving",
        row: (number, made, times) => `${number}: ${made ? "new" : "reused"} connection; ${times.join(", ")}`,
        noAnswer: "no answer", loading: "Loading ...", released: "The connection is let go.",
        totals: (made, reused, failed, ms) => `12 requests, ${made} connections made, ${reused} reused, ${failed} failed, ${ms} ms`,
        held: "A connection is held: it has asked for large.bin, and reads no more than the beginning.",
        missing: "There is no html/large.bin. Make it, in the directory that html/ is in: ",
    },
    zh: {
        load: "加载 12 个文件", hold: "占住一条连接，再加载 12 个文件", release: "放开这条连接",
        queued: "在浏览器里排队", connecting: "建立连接", waiting: "等待响应", receiving: "接收",
        row: (number, made, times) => `${number}：${made ? "新建连接" : "复用连接"}；${times.join("，")}`,
        noAnswer: "没有响应", loading: "正在加载……", released: "这条连接已经放开。",
        totals: (made, reused, failed, ms) => `12 个请求，新建 ${made} 条连接，复用 ${reused} 次，失败 ${failed} 个，共 ${ms} 毫秒`,
        held: "已占住一条连接：它请求了 large.bin，只读开头，不再往下读。",
        missing: "没有 html/large.bin。请在 html/ 所在的目录里生成它：",
    },
};
const words = WORDS[document.documentElement.lang];
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/* Makes an element, and puts it at the end of another. */
function add(parent, tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    parent.append(element);
    return element;
}

/* What the page shows: two buttons, what they do just now, the bars, and a line of totals. */
const place = document.getElementById("waterfall");
const loadButton = add(place, "button", "", words.load);
const holdButton = add(place, "button", "", words.hold);
const note = add(place, "p", "note", "");
const legend = add(place, "p", "legend", "");
const bars = add(place, "ol", "bars", "");
const totals = add(place, "p", "totals", "");
note.setAttribute("role", "status"); // a screen reader says it when it changes
totals.setAttribute("role", "status");
for (const name of ["queued", "connecting", "waiting", "receiving"]) {
    const item = add(legend, "span", "item", "");
    add(item, "span", `key ${name}`, "");
    item.append(words[name]);
    legend.append(" ");
}

/* Loads one file. Returns what the browser has measured, or undefined if no answer came. The query makes each address
 * different, and no-store forbids the browser to keep a copy. The measures can come a little later than the file. */
async function load(query) {
    const address = `${location.origin}/picture.svg?${query}`;
    try {
        const response = await fetch(address, { cache: "no-store" });
        await response.arrayBuffer();
    } catch {
        return undefined;
    }
    for (let i = 0; i < 100 && performance.getEntriesByName(address).length === 0; i++) await sleep(10);
    return performance.getEntriesByName(address)[0];
}

/* For a connection that is used again, the browser measures no time: it lets connectStart and connectEnd be the time
 * at which the request began. */
function isMade(entry) {
    return entry.connectEnd > entry.connectStart || entry.connectStart > entry.startTime;
}

/* The phases of a request, each with its name, begin and end. */
function phases(entry) {
    const connect = isMade(entry) ? entry.connectStart : entry.requestStart;
    return [
        ["queued", entry.startTime, connect],
        ["connecting", connect, entry.requestStart],
        ["waiting", entry.requestStart, entry.responseStart],
        ["receiving", entry.responseStart, entry.responseEnd],
    ].filter(([, begin, end]) => end > begin);
}

/* Draws a bar for each request, and says in words what it shows. */
function draw(entries) {
    const answered = entries.filter((entry) => entry !== undefined);
    const first = Math.min(...answered.map((entry) => entry.startTime));
    const total = Math.max(0, ...answered.map((entry) => entry.responseEnd - first));
    const made = answered.filter(isMade).length;
    entries.forEach((entry, index) => {
        const row = add(bars, "li", "", "");
        if (entry === undefined) return add(row, "span", "", `${index + 1}: ${words.noAnswer}`);
        const bar = add(row, "span", "bar", "");
        for (const [name, begin, end] of phases(entry)) {
            const piece = add(bar, "span", name, "");
            piece.style.left = `${(100 * (begin - first)) / total}%`;
            piece.style.width = `${(100 * (end - begin)) / total}%`;
        }
        const times = phases(entry).map(([name, begin, end]) => `${words[name]} ${(end - begin).toFixed(end - begin < 100 ? 1 : 0)} ms`);
        add(row, "span", "", words.row(index + 1, isMade(entry), times));
    });
    const reused = answered.length - made, failed = REQUESTS - answered.length;
    totals.textContent = words.totals(made, reused, failed, Math.round(total));
    Object.assign(bars.dataset, { made, reused, failed }); // for a test: data-made and so on
}

async function loadAll() {
    loadButton.disabled = true;
    totals.textContent = words.loading;
    bars.replaceChildren();
    delete bars.dataset.made;
    performance.clearResourceTimings(); // the browser keeps no more than 250
    const now = Date.now();
    draw(await Promise.all(Array.from({ length: REQUESTS }, (_, index) => load(`${now}-${index}`))));
    loadButton.disabled = false;
}

/* Asks for a large file, and stops reading at its first piece. The server can send on until all buffers on the way are
 * full. The second click, or the end of the time, lets the connection go. */
let holder = null;
async function hold() {
    if (holder !== null) return holder.abort();
    holder = new AbortController();
    const released = new Promise((resolve) => holder.signal.addEventListener("abort", resolve));
    const timer = setTimeout(() => holder.abort(), HOLD);
    holdButton.textContent = words.release;
    try {
        const response = await fetch("/large.bin", { cache: "no-store", signal: holder.signal });
        note.textContent = response.ok ? words.held : words.missing;
        if (response.ok) {
            const reader = response.body.getReader();
            await reader.read();
            await loadAll();
            await released;
            note.textContent = words.released;
        } else {
            add(note, "code", "", "truncate -s 500M html/large.bin");
        }
    } catch (error) {
        note.textContent = error.name === "AbortError" ? words.released : words.noAnswer;
    }
    clearTimeout(timer);
    holder = null;
    holdButton.textContent = words.hold;
}

loadButton.addEventListener("click", loadAll);
holdButton.addEventListener("click", hold);
