"""What gpu_measure.py keeps: each figure a line of JSON in OUT/NAME.jsonl the moment it is there, and the logs of what
failed in OUT/NAME-logs.tar.gz. Lines of earlier runs stay. A disk that is full costs no figure: what cannot be written
there goes into a second file elsewhere, and to standard output if that fails too.
"""
import errno
import io
import json
import os
import sys
import tarfile
import threading
import time

MOST_BYTES = 15 << 20  # of the archive
SPARE_BYTES = 1 << 20  # of the disk, which the archive leaves for lines


def complain(text):
    print("bench/gpu.sh: " + text, file=sys.stderr, flush=True)


def read_lines(path):
    """The objects of a file, and how many of its lines are none."""
    objects, broken = [], 0
    if not os.path.isfile(path):
        return objects, broken
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    value = json.loads(line)
                except ValueError:
                    value = None
                if isinstance(value, dict):
                    objects.append(value)
                else:
                    broken += bool(line.strip())
    except OSError:
        pass
    return objects, broken


class LineFile:
    """A file that lines are added to, each whole and on the disk, or not at all."""

    def __init__(self, path):
        self.path, self.descriptor = path, None

    def open(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(self.descriptor).st_size
        if size > 0 and os.pread(self.descriptor, 1, size - 1) != b"\n":
            os.write(self.descriptor, b"\n")  # a run was cut off in its last line

    def add(self, text):
        """Raises OSError where the line could not be kept; the file is then as it was."""
        if self.descriptor is None:
            self.open()
        data, size = (text + "\n").encode(), os.fstat(self.descriptor).st_size
        try:
            left = data
            while left:
                left = left[os.write(self.descriptor, left):]
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what cannot be synchronised is no disk
                    raise
        except OSError:
            try:
                os.ftruncate(self.descriptor, size)
            except OSError:
                pass
            raise


class Lines:
    """The lines of this run. context() gives the fields that each line has beside its own."""

    def __init__(self, path, rescue_path, context):
        self.file, self.rescue, self.context = LineFile(path), LineFile(rescue_path), context
        self.of_run, self.waiting, self.lost, self.lock = [], [], False, threading.Lock()

    def add(self, fields):
        line = dict(fields, **self.context())
        with self.lock:
            self.of_run.append(line)
            self.write(json.dumps(line))
        return line

    def write(self, text):
        self.write_waiting()
        try:
            if self.waiting:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.add(text)
        except OSError as error:
            if not self.lost:
                complain("%s cannot be written: %s; the lines go to %s" % (self.file.path, error.strerror, self.rescue.path))
            self.lost = True
            self.waiting.append(text)
            try:
                self.rescue.add(text)
            except OSError:
                print(text, flush=True)

    def write_waiting(self):
        while self.waiting:
            try:
                self.file.add(self.waiting[0])
            except OSError:
                return
            del self.waiting[0]

    def finish(self):
        """Whether every line is in the file where it belongs; one whose place is elsewhere is told."""
        self.write_waiting()
        if self.waiting:
            complain("%d lines are not in %s; they are in %s, or above where that could not be written either" %
                     (len(self.waiting), self.file.path, self.rescue.path))
        elif self.lost and os.path.exists(self.rescue.path):
            os.unlink(self.rescue.path)
        return not self.waiting


class Logs:
    """An archive of whole logs, RUN/STEP.log, written anew with the earlier ones when one is added."""

    def __init__(self, path, run):
        self.path, self.run, self.names = path, run, set()

    def add(self, step, text):
        """The log's name in the archive, or None where it could not be kept."""
        base = name = "%s/%s" % (self.run, "".join(c if c.isalnum() or c in "-." else "-" for c in step))
        while name + ".log" in self.names:
            name = "%s-%d" % (base, len(self.names))
        self.names.add(name + ".log")
        part = self.path + ".part"
        try:
            data = text.encode("utf-8", "replace")
            while True:
                size = self.write(part, name + ".log", data)
                room = os.statvfs(os.path.dirname(self.path))
                if room.f_bavail * room.f_frsize < SPARE_BYTES:
                    raise OSError(errno.ENOSPC, "the disk is nearly full")
                if size <= MOST_BYTES:
                    break
                if len(data) < 1000:
                    raise OSError(errno.EFBIG, "the archive has %d MB" % (MOST_BYTES >> 20))
                middle = b"\n[left out: the archive would have more than %d MB]\n" % (MOST_BYTES >> 20)
                data = data[:len(data) // 4] + middle + data[-(len(data) // 4):]
            os.replace(part, self.path)
        except (OSError, tarfile.TarError, EOFError) as error:
            complain("the log of %s is not kept: %s" % (step, error))
            if os.path.exists(part):
                os.unlink(part)
            return None
        return name + ".log"

    def write(self, path, name, data):
        """All members there are, and one more, into path; gives its size."""
        with tarfile.open(path, "w:gz") as new:
            if os.path.exists(self.path):
                with tarfile.open(self.path) as old:
                    for member in old:
                        new.addfile(member, old.extractfile(member))
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), int(time.time()), 0o644
            new.addfile(member, io.BytesIO(data))
        return os.path.getsize(path)


def replace(path, text):
    """Puts text into a file, whole or not at all."""
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError:
        if os.path.exists(part):
            os.unlink(part)
        raise
