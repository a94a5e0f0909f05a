"""What of a homework is taken from a directory or an archive, and where in it the homework is: for collect."""
import calendar
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib

from page import HERE, say

MAX_BYTES = 64 << 20  # of one submission, unpacked
MAX_FILES = 2000
MAX_PASSED = 1 << 30  # of what is read only to be left out
MAX_DEPTH = 40
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.gz|tar\.xz|tar\.bz2|rar|7z)$", re.I)
LEFT_OUT = {"__MACOSX", ".git", ".svn", ".hg", ".idea", ".vscode", ".DS_Store", "Thumbs.db", "node_modules", "__pycache__"}
NOT_SEARCHED = {"html", "tests", "build"}  # a handout has them: what is in them is no homework
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")


class Refused(Exception):
    """A submission that is not taken, and why, in one line."""


def clean(text):
    """A name as it can be printed, and be the name of a file."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in text)


class Tree:
    """The files of one submission: plain files alone, in a directory of ours, within the limits."""

    def __init__(self, path, max_bytes=MAX_BYTES, max_files=MAX_FILES):
        self.path, self.max_bytes, self.max_files = path, max_bytes, max_files
        self.files = self.bytes = self.passed = 0
        self.left_out = []
        os.makedirs(path)

    def leave_out(self, name, what):
        self.left_out.append(f"{clean(name)} ({what})")

    def pass_by(self, size):
        self.passed += size
        if self.passed > MAX_PASSED:
            raise Refused(say("it unpacks to more than 1 GiB"))

    def add(self, name, file, executable, time):
        parts = name.split("/")
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in parts:
            raise Refused(say("it has a path that leads out of it: {}", clean(name)))
        parts = [part for part in parts if part not in ("", ".")]
        if not parts or any(part in LEFT_OUT or part.startswith("._") for part in parts):
            return
        if len(parts) > MAX_DEPTH:
            raise Refused(say("its directories are more than {} deep", MAX_DEPTH))
        self.files += 1
        if self.files > self.max_files:
            raise Refused(say("it has more than {} files", f"{self.max_files:,}"))
        target = os.path.join(self.path, *parts)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as copy:
                while piece := file.read(1 << 16):
                    self.bytes += len(piece)
                    if self.bytes > self.max_bytes:
                        raise Refused(say("it has more than {} MiB unpacked", self.max_bytes >> 20))
                    copy.write(piece)
            os.chmod(target, 0o755 if executable else 0o644)
            os.utime(target, (time, time))
        except (OSError, ValueError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused(say("it cannot be unpacked: {}", f"{clean(name)}: {why}")) from error


def decode(name):
    """A name in an archive that does not say how it is encoded: Windows in China writes GBK, a Mac UTF-8."""
    try:
        text = name.decode("utf-8")
        if any(ord(letter) >= 0x800 for letter in text) or text.isascii():
            return text
    except UnicodeDecodeError:
        pass
    for encoding in ("gbk", "cp437"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            pass
    return name.decode("utf-8", "replace")


def time_of(member):
    try:
        return calendar.timegm(member.date_time)
    except ValueError:  # some programs write none
        return 0


def unpack_zip(path, tree):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename
            if not member.flag_bits & 0x800:
                name = decode(name.encode("cp437", "replace"))
            name = name.replace("\\", "/")
            mode = member.external_attr >> 16 if member.create_system == 3 else 0
            if name.endswith("/"):
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                tree.leave_out(name, say("a link") if stat.S_ISLNK(mode) else say("no plain file"))
                continue
            if member.flag_bits & 1:
                raise Refused(say("it is encrypted"))
            with archive.open(member) as file:
                tree.add(name, file, bool(mode & 0o100), time_of(member))


def unpack_tar(file, tree):
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            name = decode(member.name.encode("utf-8", "surrogateescape"))
            tree.pass_by(member.size)
            if member.isreg():
                tree.add(name, archive.extractfile(member), bool(member.mode & 0o100), member.mtime)
            elif not member.isdir():
                tree.leave_out(name, say("a link") if member.issym() or member.islnk() else say("no plain file"))


def unpack_other(path, tree):
    """A .rar or .7z: bsdtar makes a tar of it, whose members go the same way."""
    if not shutil.which("bsdtar"):
        tools = [os.path.join(HERE, "../lib/tools"), "bsdtar:libarchive-tools"]
        if subprocess.run(tools, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            sys.exit(2)
    command = ["timeout", "120", "bsdtar", "--create", "--format", "pax", "--file", "-", "@-"]
    with open(path, "rb") as archive, tempfile.TemporaryFile() as said:
        # bsdtar goes by what is in a file: it would take a list of other files for an archive of them, too.
        if not archive.read(8).startswith((b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\1\0", b"7z\xbc\xaf\x27\x1c")):
            raise Refused(say("it cannot be unpacked: {}", say("it is no .rar or .7z")))
        os.lseek(archive.fileno(), 0, os.SEEK_SET)
        with subprocess.Popen(command, stdin=archive, stdout=subprocess.PIPE, stderr=said) as process:
            try:
                unpack_tar(process.stdout, tree)
                process.stdout.read()
            except tarfile.TarError:
                pass  # bsdtar says what is wrong
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        why = said.read().decode("utf-8", "replace").split("\n")[0].removeprefix("bsdtar: Error reading archive -: ")
    if process.returncode != 0:
        raise Refused(say("it cannot be unpacked: {}", clean(why)))


def unpack(path, tree):
    try:
        if re.search(r"\.zip$", path, re.I):
            unpack_zip(path, tree)
        elif re.search(r"\.(rar|7z)$", path, re.I):
            unpack_other(path, tree)
        else:
            with open(path, "rb") as file:
                unpack_tar(file, tree)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError, ValueError) as error:
        raise Refused(say("it cannot be unpacked: {}", clean(str(error)))) from error


def open_plain(path):
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def copy_directory(path, tree, below=""):
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        name = below + entry.name
        if entry.is_symlink():
            tree.leave_out(name, say("a link"))
        elif entry.name in LEFT_OUT:
            continue
        elif entry.is_dir(follow_symlinks=False):
            if name.count("/") >= MAX_DEPTH:
                raise Refused(say("its directories are more than {} deep", MAX_DEPTH))
            copy_directory(entry.path, tree, name + "/")
        elif entry.is_file(follow_symlinks=False):
            try:
                with open_plain(entry.path) as file:
                    status = os.fstat(file.fileno())
                    tree.add(name, file, bool(status.st_mode & 0o100), status.st_mtime)
            except PermissionError:
                tree.leave_out(name, say("may not be read"))
        else:
            tree.leave_out(name, say("no plain file"))


# Where in a submission the homework is.

def number_in(name):
    """The number of an attempt: 2 of "server (2).c", "server-2.zip", "server_v2.zip"; 0 if there is none."""
    stem = ARCHIVE.sub("", name)
    match = re.search(r"[\s_-]*[(（]?(?<!\d)(\d{1,2})[)）]?$", re.sub(r"\.[A-Za-z]{1,3}$", "", stem))
    return int(match[1]) if match else 0


def text_of(path):
    with open(path, "rb") as file:
        return file.read(1 << 16).decode("utf-8", "replace")


def is_homework(directory, stage):
    """Whether tests/grader/build finds something to build in it, as it stands."""
    files = {entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}
    for entry in os.scandir(directory):
        if entry.name.startswith(f"stage{stage}_") and os.path.isfile(os.path.join(entry.path, "server.c")):
            return True
    if "server.c" in files or ("server" in files and text_of(os.path.join(directory, "server")).startswith("#!")):
        return True
    return any(name in files and re.search(r"^[^#]*\bserver\b", text_of(os.path.join(directory, name)), re.M) for name in MAKEFILES)


def other_source(directory):
    """The one file that can only be server.c, if there is one: "server (1).c", "server.c.txt", or the only .c file."""
    sources = [entry.name for entry in os.scandir(directory)
               if entry.is_file(follow_symlinks=False) and re.search(r"\.c(\.txt)?$", entry.name, re.I)]
    named = [name for name in sources if re.fullmatch(r"server[\W_]*(?:copy|副本|v?\d+|[\W_])*\.c(\.txt)?", name, re.I)]
    if named:
        return max(named, key=lambda name: (number_in(name), name))
    return sources[0] if len(sources) == 1 else None


def find_homework(root, assignment, notes):
    """The directory that is the homework: the least deep one that has something to build; None if there is none."""
    stage, level = assignment[0], [root]
    while level:
        found = [directory for directory in level if is_homework(directory, stage)]
        renamed = [] if found else [directory for directory in level if other_source(directory)]
        candidates = found or renamed
        if len(candidates) > 1:
            named = [one for one in candidates
                     if re.search(rf"(stage|阶段)\W*{stage}(?!\d)|{re.escape(assignment)}(?!\d)", os.path.basename(one), re.I)]
            if len(named) != 1:
                names = ", ".join(sorted(clean(os.path.relpath(one, root)) for one in candidates)[:10])
                raise Refused(say("several directories could be the homework: {}; expected: one", names))
            candidates = named
        if candidates:
            directory = candidates[0]
            if directory != root:
                notes.append(say("The homework was found in {}/.", clean(os.path.relpath(directory, root))))
            if renamed:
                source = other_source(directory)
                os.rename(os.path.join(directory, source), os.path.join(directory, "server.c"))
                notes.append(say("Taken for server.c: {}.", clean(source)))
            return directory
        level = sorted(entry.path for directory in level for entry in os.scandir(directory)
                       if entry.is_dir(follow_symlinks=False) and entry.name not in NOT_SEARCHED and not entry.name.startswith("."))
    return None


def files_in(root):
    return sorted(os.path.relpath(os.path.join(directory, name), root) for directory, _, names in os.walk(root) for name in names)


def nothing_found(tree, assignment):
    program = f" ({say('a program without its source')})"
    names = [clean(name) + (program if is_program(os.path.join(tree.path, name)) else "") for name in files_in(tree.path)]
    names += tree.left_out
    found = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return say("nothing to build was found. Found: {}. Expected: server.c; or sources and a Makefile that makes server; or "
               "stage{}_*/server.c; or a script of the name server that begins with #!", found or say("nothing"), assignment[0])


def is_program(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def open_archives(tree, work, assignment, notes, attempts, depth=0):
    """The homework in a tree, also if it is in an archive there; the last of several counts."""
    homework = find_homework(tree.path, assignment, notes)
    if homework or depth == 3:
        return homework
    archives = [name for name in files_in(tree.path)
                if ARCHIVE.search(name) and not NOT_SEARCHED.intersection(name.split("/")[:-1])]
    if not archives:
        return None
    archives.sort(key=lambda name: (number_in(name), os.stat(os.path.join(tree.path, name)).st_mtime, name))
    attempts += [clean(name) for name in archives[:-1]]
    inner = Tree(os.path.join(work, f"inner-{depth}"))
    inner.files, inner.bytes, inner.passed, inner.left_out = tree.files, tree.bytes, tree.passed, tree.left_out
    unpack(os.path.join(tree.path, archives[-1]), inner)
    notes.append(say("Unpacked: {}.", clean(archives[-1])))
    return open_archives(inner, work, assignment, notes, attempts, depth + 1)
