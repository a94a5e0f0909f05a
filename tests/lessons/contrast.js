/* The texts of a page that are hard to read: whose colour has a contrast of less than 4.5 with the colour behind it
 * (WCAG 2.1, success criterion 1.4.3). A script for the browser; it returns a list, empty if all is well. */
const parts = color => color.match(/[\d.]+/g).map(Number); // "rgb(1, 2, 3)" or "rgba(1, 2, 3, 0)"

const luminance = color => {
    const [red, green, blue] = parts(color).map(value => {
        const share = value / 255;
        return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const behind = element => {
    for (; element; element = element.parentElement) {
        const color = getComputedStyle(element).backgroundColor;
        if (parts(color)[3] !== 0) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(0, 0, 0)" : "rgb(255, 255, 255)";
};

const found = [];
for (const element of document.body.querySelectorAll("*:not(script):not(title)")) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join("").trim();
    if (text === "") continue;
    const style = getComputedStyle(element);
    const color = element.closest("svg") ? style.fill : style.color;
    if (color === "none") continue; // it only keeps the room for what is drawn elsewhere
    const [low, high] = [luminance(color), luminance(behind(element))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(1)}: ${text.slice(0, 40)}`);
}
return found;
