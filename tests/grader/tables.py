"""The tables that a lecturer hands to collect: the roster, and the points by hand; and how a student is recognised."""
import csv
import io
import itertools
import math
import re
import sys
import unicodedata


def fail(message):
    print("tests/grader/collect: " + message, file=sys.stderr)
    sys.exit(2)


def fold(text):
    return unicodedata.normalize("NFKC", text).casefold()


def words(text):
    """The letters of a name: runs of Chinese characters, of other letters, of digits."""
    return re.findall(r"[\u3400-\u9fff]+|\d+|[^\W\d_\u3400-\u9fff]+", fold(text))


class Student:
    def __init__(self, number, name, others=(), moodle="", canvas=None):
        self.id, self.name, self.moodle, self.canvas = number, name, moodle, canvas
        self.ids = {fold(one) for one in (number, *others) if one}
        self.words = words(name)
        self.joined = {"".join(order) for order in itertools.permutations(self.words)} if 0 < len(self.words) <= 4 else set()

    def has_id_in(self, text):
        text = fold(text)
        return any(one == text or (len(one) >= 4 and re.search(rf"(?<![0-9a-z]){re.escape(one)}(?![0-9a-z])", text))
                   for one in self.ids)

    def has_name_in(self, text):
        there = words(text)
        if any(re.match(r"[\u3400-\u9fff]", word) for word in self.words):
            return "".join(self.words) in "".join(word for word in there if not word.isdigit())
        return bool(self.joined.intersection(there) or "".join(there) in self.joined) or \
            (len(self.words) > 1 and set(self.words) <= set(there))


TITLES = {
    "id": ("id number", "idnumber", "student id", "student number", "studentid", "student no", "matriculation number",
           "学号", "学生学号", "学号/工号", "学工号", "sis user id", "sis login id", "id"),
    "name": ("full name", "fullname", "name", "student name", "student", "姓名", "学生姓名", "真实姓名", "全名"),
    "first": ("first name", "firstname", "given name", "名", "名字"),
    "last": ("last name", "lastname", "surname", "family name", "姓", "姓氏"),
    "moodle": ("identifier", "标识符", "编号"),
    "by_hand": ("points", "points by hand", "by hand", "hand", "分数", "加分", "人工评分", "人工给分"),
    "late": ("days late", "late", "days", "迟交天数", "迟交", "晚交天数"),
    "remark": ("remark", "remarks", "comment", "note", "备注", "评语", "说明"),
}


def read_table(path, what):
    """The rows of a CSV: UTF-8, UTF-16 or GBK; with commas, semicolons or tabs."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        fail(f"{what} {path}: {error.strerror}")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        fail(f"{what} {path} is no CSV: save it as CSV in the spreadsheet program")
    text = None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif data[1:2] == b"\0" or data[3:4] == b"\0":
        encodings = ["utf-16-le"]
    elif data[:1] == b"\0":
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            pass
    if text is None:
        fail(f"{what} {path} is neither UTF-8, nor UTF-16, nor GBK")
    first = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count)))
    except csv.Error as error:
        fail(f"{what} {path} is no CSV: {error}")


def columns_of(row):
    """Where in a row of titles each thing is."""
    titles = [re.sub(r"\s+", " ", fold(title)).strip() for title in row]
    found = {}
    for what, names in TITLES.items():
        for name in names:
            if name in titles:
                found[what] = titles.index(name)
                break
    return found, titles


def cell(row, index):
    return row[index].strip() if index is not None and index < len(row) else ""


def read_roster(path):
    rows = read_table(path, "ROSTER")
    for start, row in enumerate(rows[:10]):
        columns, titles = columns_of(row)
        if "name" in columns or ("first" in columns and "last" in columns) or "id" in columns:
            break
    else:
        fail(f"ROSTER {path} has no row of titles that names an id or a name (such as id,name or 学号,姓名)")
    is_canvas = "sis user id" in titles or "sis login id" in titles
    students = {}
    for number, row in enumerate(rows[start + 1:], start + 2):
        first, last = cell(row, columns.get("first")), cell(row, columns.get("last"))
        name = cell(row, columns.get("name")) or \
            (last + first if re.search(r"[\u3400-\u9fff]", last) else f"{first} {last}").strip()
        own = {title: cell(row, titles.index(fold(title))) for title in ("ID", "SIS User ID", "SIS Login ID", "Section")
               if is_canvas and fold(title) in titles}
        one = own.get("SIS User ID") or own.get("SIS Login ID") or own.get("ID") or cell(row, columns.get("id"))
        participant = re.fullmatch(r"\D+(\d+)", cell(row, columns.get("moodle")))  # Participant 123456
        if not (one or name) or fold(name) in ("points possible", "student, test"):
            continue
        student = Student(one, name, (own.get("SIS Login ID", ""),), participant[1] if participant else "",
                          dict(own, Student=name) if is_canvas else None)
        key = one or name
        if key in students and students[key].name != name:
            fail(f"ROSTER {path}, line {number}: {key} is there twice, as {students[key].name} and as {name}")
        students.setdefault(key, student)
    if not students:
        fail(f"ROSTER {path} has no students")
    return list(students.values())


def to_number(text, where):
    try:
        value = float(text.replace(",", ".")) if text else 0.0
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        fail(f"{where}: {text} is no number")
    return value


def adjust(rows, path):
    """Writes what a lecturer gives by hand into the rows."""
    table = read_table(path, "ADJUST")
    columns, _ = columns_of(table[0]) if table else ({}, [])
    start = 1
    if not {"id", "name"} & set(columns) or not {"by_hand", "late", "remark"} & set(columns):
        columns = {"id": 0, "by_hand": 1, "late": 2, "remark": 3}
        start = 1 if table and not re.fullmatch(r"[-+]?[\d.,]*", cell(table[0], 1)) else 0
    for number, line in enumerate(table[start:], start + 1):
        who = cell(line, columns.get("id")) or cell(line, columns.get("name"))
        if not who:
            continue
        where = f"ADJUST {path}, line {number}"
        found = [row for row in rows if who == row["id"]] or [row for row in rows if who in (row["name"], row["key"])] or \
            [row for row in rows if sorted(words(who)) == sorted(words(row["name"]))] or \
            [row for row in rows if Student(who, "").has_id_in(row["name"])]
        if len(found) != 1:
            fail(f"{where}: {'nobody' if not found else 'more than one'} in the class is {who}")
        if "remark" in found[0]:
            fail(f"{where}: {who} has a line above already")
        late = to_number(cell(line, columns.get("late")), where)
        if late < 0:
            fail(f"{where}: {late:g} days late?")
        by_hand = cell(line, columns.get("by_hand"))
        found[0].update(by_hand=to_number(by_hand, where) if by_hand else None, late=late, remark=cell(line, columns.get("remark")))
