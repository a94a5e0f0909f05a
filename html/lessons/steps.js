/* For a lecture room, in the lessons and in the sources: the projector mode, at the end of this file.
 * For the sources under steps/: the keys n and p go to the next and to the previous new lines; one button opens all
 * removed lines, and one hides what has not changed. tests/lessons/weave has put each new line into an <ins>, and each
 * piece of removed lines into a <details>; "the class ..." is one that lessons.css knows. */
"use strict";

const CONTEXT = 3; // unchanged lines that stay in sight before and after a change
const main = document.querySelector("main");
const isSource = document.body.classList.contains("wide"); // else it is a lesson

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

/* Adds a button to a paragraph, with a label in English and in Chinese for each of its two states; a lesson shows its own. */
function addButton(paragraph, labels, act) {
    const button = document.createElement("button");
    let on = false;
    const show = () => {
        const [english, chinese] = labels[on ? 1 : 0];
        if (isSource) button.innerHTML = `${english} <span lang="zh">${chinese}</span>`;
        else button.textContent = document.documentElement.lang === "zh" ? chinese : english;
    };
    button.addEventListener("click", () => {
        on = !on;
        act(on);
        show();
    });
    show();
    paragraph.append(button);
}

const buttons = isSource ? document.createElement("p") : main.querySelector(".size");
const removed = main.querySelectorAll("details");
if (isSource && (main.querySelector("ins") !== null || removed.length > 0)) { // not in stage 1
    let hidden = false;
    const sources = main.querySelectorAll("main > pre");
    for (const pre of sources) hidden = markSame(pre, hidden);
    addButton(buttons, [["Open all removed lines", "展开全部删去的行"], ["Close all removed lines", "收起全部删去的行"]],
        (on) => removed.forEach((details) => { details.open = on; }));
    addButton(buttons, [["Only what is new", "只看新增部分"], ["The whole source", "看全部源代码"]],
        (on) => main.classList.toggle("only", on));
}
if (isSource) main.querySelector("p[lang=zh]").after(buttons);

const groups = isSource ? findGroups() : [];
let here = -1; // the group at which the reader is
let slide = -1; // of the projector mode, below: the number of the one that is shown; -1: the page is as always
document.addEventListener("keydown", (event) => {
    const step = { n: 1, p: -1 }[event.key];
    const types = event.target.closest("input, textarea, select, [contenteditable]") !== null;
    if (slide >= 0 || step === undefined || types || event.ctrlKey || event.altKey || event.metaKey) return;
    const next = Math.max(here + step, 0);
    if (next >= groups.length) return;
    if (here >= 0) groups[here].forEach((line) => line.classList.remove("here"));
    here = next;
    groups[here].forEach((line) => line.classList.add("here"));
    groups[here][0].scrollIntoView({ block: "center" });
});

/* The projector mode: large type, and one thing at a time, which is called a slide here. In a source a slide is a definition in
 * which something has changed, with its removed lines open; in a lesson it is a picture, a piece of code, or commands. */
function findSlides() {
    if (!isSource) return [...main.querySelectorAll("main > figure, main > pre")].map((element) => [element]);
    const slides = [];
    for (const element of main.querySelectorAll("main > pre, main > details")) {
        if (element.dataset.part !== undefined || slides.length === 0) slides.push([]);
        slides.at(-1).push(element);
    }
    const changed = slides.filter((elements) => elements.some((one) => isRemoved(one) || one.querySelector("ins") !== null));
    return changed.length > 0 ? changed : slides;
}

/* What stands above a slide: the name of the definition, or the section of the lesson. */
function slideName(elements) {
    if (isSource) return elements[0].dataset.part;
    let before = elements[0];
    while (before !== null && !before.matches("h1, h2")) before = before.previousElementSibling;
    return before === null ? "" : before.textContent;
}

const slides = findSlides();
const slideBar = document.createElement("p");

function showSlide(number) {
    for (const element of main.querySelectorAll(".shown")) element.classList.remove("shown");
    const was = slide;
    slide = number;
    document.body.classList.toggle("projector", slide >= 0);
    if (slide < 0) {
        if (was >= 0) slides[was][0].scrollIntoView({ block: "center" });
        return;
    }
    for (const element of slides[slide]) {
        element.classList.add("shown");
        if (isRemoved(element)) element.open = true;
    }
    slideBar.firstChild.textContent = `${slideName(slides[slide])} (${slide + 1}/${slides.length}) `;
    scrollTo(0, 0);
}

const turn = (step) => showSlide(Math.min(Math.max(slide + step, 0), slides.length - 1));
slideBar.className = "slide-bar";
slideBar.append("");
for (const [label, name, act] of [["←", "previous 上一页", () => turn(-1)], ["→", "next 下一页", () => turn(1)], ["×", "close 关闭", () => showSlide(-1)]]) {
    const button = document.createElement("button");
    button.textContent = label;
    button.title = name;
    button.addEventListener("click", act);
    slideBar.append(button);
}
document.body.prepend(slideBar);
addButton(buttons, [["Projector", "投影"], ["Projector", "投影"]], () => showSlide(0));

document.addEventListener("keydown", (event) => {
    const types = event.target.closest("input, textarea, select, [contenteditable]") !== null;
    if (types || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "l" || (event.key === "Escape" && slide >= 0)) showSlide(slide >= 0 ? -1 : 0);
    if (slide < 0) return;
    let step = { n: 1, ArrowRight: 1, p: -1, ArrowLeft: -1 }[event.key];
    // What a presenter holds in the hand sends these: they scroll first, while there is more to see.
    if (event.key === "PageDown" && innerHeight + scrollY >= document.documentElement.scrollHeight - 2) step = 1;
    if (event.key === "PageUp" && scrollY === 0) step = -1;
    if (step === undefined) return;
    event.preventDefault();
    turn(step);
});
if (location.hash === "#projector") showSlide(0);
