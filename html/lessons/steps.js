/* For the sources under steps/: the keys n and p go to the next and to the previous new lines; one button opens all
 * removed lines, and one hides what has not changed. tests/lessons/weave has put each new line into an <ins>, and each
 * piece of removed lines into a <details>; "the class ..." is one that lessons.css knows. */
"use strict";

const CONTEXT = 3; // unchanged lines that stay in sight before and after a change
const main = document.querySelector("main");

const isRemoved = (element) => element !== null && element.matches("details");

/* Gives the class "same" to every line of a <pre> that is not near a change, and puts a "..." of the class "gap" before
 * the first of several. hidden says whether the <pre> before has ended with such a line, and is returned for this one. */
function markSame(pre, hidden) {
    const code = pre.firstElementChild;
    const lines = code.innerHTML.split("\n");
    const changes = lines.flatMap((line, i) => (line.startsWith("<ins>") ? [i] : []));
    if (isRemoved(pre.previousElementSibling)) changes.push(-1);
    if (isRemoved(pre.nextElementSibling)) changes.push(lines.length);
    if (hidden && changes.length === 0) pre.classList.add("same");
    code.innerHTML = lines.map((line, i) => {
        const before = hidden;
        hidden = changes.every((change) => Math.abs(change - i) > CONTEXT);
        const text = i < lines.length - 1 ? `${line}\n` : line;
        if (!hidden) return text;
        return `${before ? "" : '<span class="gap">...\n</span>'}<span class="same">${text}</span>`;
    }).join("");
    return hidden;
}

/* The new lines, in groups of those that follow each other; an empty line between them is no <ins>. */
function findGroups() {
    const groups = [];
    let last = null;
    for (const line of main.querySelectorAll("ins")) {
        const between = line.previousSibling;
        if (last !== null && between !== null && between.textContent.trim() === "" && between.previousSibling === last) {
            groups.at(-1).push(line);
        } else {
            groups.push([line]);
        }
        last = line;
    }
    return groups;
}

/* Adds a button to a paragraph, with a label in English and in Chinese for each of its two states. */
function addButton(paragraph, labels, act) {
    const button = document.createElement("button");
    let on = false;
    const show = () => { button.innerHTML = `${labels[on ? 1 : 0][0]} <span lang="zh">${labels[on ? 1 : 0][1]}</span>`; };
    button.addEventListener("click", () => {
        on = !on;
        act(on);
        show();
    });
    show();
    paragraph.append(button);
}

const removed = main.querySelectorAll("details");
if (main.querySelector("ins") !== null || removed.length > 0) { // not in stage 1
    let hidden = false;
    const sources = main.querySelectorAll("main > pre");
    for (const pre of sources) hidden = markSame(pre, hidden);
    const buttons = document.createElement("p");
    addButton(buttons, [["Open all removed lines", "展开全部删去的行"], ["Close all removed lines", "收起全部删去的行"]],
        (on) => removed.forEach((details) => { details.open = on; }));
    addButton(buttons, [["Only what is new", "只看新增部分"], ["The whole source", "看全部源代码"]],
        (on) => main.classList.toggle("only", on));
    main.querySelector("p[lang=zh]").after(buttons);
}

const groups = findGroups();
let here = -1; // the group at which the reader is
document.addEventListener("keydown", (event) => {
    const step = { n: 1, p: -1 }[event.key];
    const types = event.target.closest("input, textarea, select, [contenteditable]") !== null;
    if (step === undefined || types || event.ctrlKey || event.altKey || event.metaKey) return;
    const next = Math.max(here + step, 0);
    if (next >= groups.length) return;
    if (here >= 0) groups[here].forEach((line) => line.classList.remove("here"));
    here = next;
    groups[here].forEach((line) => line.classList.add("here"));
    groups[here][0].scrollIntoView({ block: "center" });
});
