"""What the programs for a class share: collect, class-report and similar-pairs."""
import html
import os
import re
import subprocess
from urllib.parse import quote

HERE = os.path.dirname(os.path.realpath(__file__))
NO_LINK = "<!-- similar -->"


def plain(text):
    """A text of a .po file without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text)


def read_catalogue():
    """The Chinese of each text, if that is the reader's language: grade-all and similar say so in REPORT."""
    if os.environ.get("REPORT") != "zh":
        return {}
    with open(os.path.join(HERE, "..", "lib", "zh.po"), encoding="utf-8") as file:
        return {plain(msgid): plain(msgstr) for msgid, msgstr in re.findall(r'^msgid "(.*)"\nmsgstr "(.+)"$', file.read(), re.M)}


CHINESE = read_catalogue()


def say(text, *values):
    """A sentence for a reader, in his language: {} stands for what is not the same in all of them."""
    chinese = CHINESE.get(text.replace("{}", "%s"))
    if chinese:
        text = re.sub(r"%(?:(\d)\$)?s", lambda part: f"{{{int(part[1]) - 1}}}" if part[1] else "{}", chinese)
    return text.format(*values)


def for_reader(lines):
    """What the tests and the grader have said, in the language of the reader."""
    if not CHINESE or not lines:
        return lines
    translate = os.path.join(HERE, "..", "lib", "translate")
    return subprocess.run([translate], input="\n".join(lines), stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout.split("\n")


def title_of(assignment):
    return say("Stage {}", assignment) if len(assignment) == 1 else say("Exercise {}", assignment)


def link(name, text):
    """A link to a file in the same directory."""
    return f"<a href=\"{quote(name, safe='')}\">{html.escape(text)}</a>"


def similar_link(directory):
    """In index.html: a link, if there is something that it leads to; otherwise a place where it can be put in later."""
    return link("similar.html", say("similar homeworks")) if os.path.exists(os.path.join(directory, "similar.html")) else NO_LINK


def table_of(heads, rows, name):
    """A table that scrolls in its frame. Cells are HTML."""
    return [f"<div class=\"scrolls\"><table class=\"{name}\">", "<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>",
            *rows, "</table></div>"]


def write_whole(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def write_page(path, title, body):
    with open(os.path.join(HERE, "class.css"), encoding="utf-8") as file:
        style = file.read()
    head = ["<!DOCTYPE html>", f"<html lang=\"{'zh-CN' if CHINESE else 'en'}\">", "<meta charset=\"utf-8\">",
            "<meta name=\"viewport\" content=\"width=device-width\">", f"<title>{html.escape(title)}</title>",
            f"<style>\n{style}</style>", "<main>"]
    write_whole(path, "\n".join([*head, *body, "</main>", "</html>", ""]))
