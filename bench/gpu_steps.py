"""Programs with a limit of time, for gpu_measure.py: what they print is read as they print it, and a program that
hangs is ended with everything that it started. Beside them nvidia-smi is read, for the clocks under load.
"""
import collections
import os
import queue
import shutil
import signal
import statistics
import subprocess
import threading
import time

LONGEST_LINE = 1 << 16
KEPT_BYTES = 4 << 20  # of a log's beginning, and as much of its end
GRACE = 2  # seconds between SIGTERM and SIGKILL, and after SIGKILL

# status: "ok", "failed", "late" (its time was over) or "absent" (it could not be started); sentence says it in words;
# text is the log: the command, both streams as they came, and how it ended.
Done = collections.namedtuple("Done", "status sentence text seconds")

living = set()  # processes whose group is to be ended if this program has to go


class Log:
    """What a program printed: all of it, or of a very long one the beginning and the end."""

    def __init__(self):
        self.head, self.tail, self.head_bytes, self.tail_bytes, self.left_out = [], collections.deque(), 0, 0, 0

    def add(self, text):
        if self.head_bytes < KEPT_BYTES:
            self.head.append(text)
            self.head_bytes += len(text)
            return
        self.tail.append(text)
        self.tail_bytes += len(text)
        while self.tail_bytes > KEPT_BYTES:
            first = self.tail.popleft()
            self.tail_bytes -= len(first)
            self.left_out += len(first)

    def text(self):
        gap = ["\n[%d bytes are left out here]\n" % self.left_out] if self.left_out else []
        return "".join(self.head + gap + list(self.tail))


def start(command, environment=None, folder=None, feed=None):
    """The process, and a queue of ("out" or "err", line); each stream's end is one entry whose line is None."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=folder, env=dict(os.environ, **(environment or {})), start_new_session=True)
    living.add(process)
    lines = queue.Queue()

    def read(name, stream):
        for raw in iter(lambda: stream.readline(LONGEST_LINE), b""):
            lines.put((name, raw.decode("utf-8", "replace")))
        lines.put((name, None))

    def write():
        try:
            with process.stdin as stream:
                stream.write(feed.encode())
        except OSError:
            pass  # it ended without reading; its status says why

    threads = [threading.Thread(target=read, args=pair, daemon=True)
               for pair in (("out", process.stdout), ("err", process.stderr))]
    if feed is not None:
        threads.append(threading.Thread(target=write, daemon=True))
    for thread in threads:
        thread.start()
    return process, lines


def end_group(process):
    """Ends a process and its group, and says whether it is gone: in the driver's hands even SIGKILL may have to wait."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except (ProcessLookupError, PermissionError):
            break
        except subprocess.TimeoutExpired:
            continue
    living.discard(process)
    return process.poll() is not None


def end_all():
    for process in list(living):
        end_group(process)


def run(command, seconds, on_line=None, environment=None, folder=None, feed=None, stop=None):
    """Runs command for at most so many seconds and gives a Done; on_line gets each line of standard output at once.

    stop: an Event that ends it early. feed: text for its standard input."""
    log, began = Log(), time.monotonic()
    log.add("$ %s\n" % " ".join(command))
    try:
        process, lines = start(command, environment, folder, feed)
    except OSError as error:
        return Done("absent", "%s cannot be started: %s" % (command[0], error.strerror), log.text(), 0.0)

    def take(wait):
        """1 where a stream has ended, else 0; queue.Empty where nothing comes."""
        name, line = lines.get(timeout=wait) if wait > 0 else lines.get_nowait()
        if line is None:
            return 1
        log.add(line)
        if name == "out" and on_line:
            on_line(line)
        return 0

    ended_streams = 0
    while ended_streams < 2 and time.monotonic() - began < seconds and not (stop and stop.is_set()):
        try:
            ended_streams += take(min(0.25, max(0.01, began + seconds - time.monotonic())))
        except queue.Empty:
            # Something that it left behind may hold its streams open: what has ended is not waited for.
            if process.poll() is not None:
                break
    try:
        process.wait(0.1 if stop and stop.is_set() else max(0.1, began + seconds - time.monotonic()))
        late = False
    except subprocess.TimeoutExpired:
        late = True
    gone = end_group(process)
    try:
        for _ in range(lines.qsize()):
            take(0)
    except queue.Empty:
        pass
    spent, status = time.monotonic() - began, process.returncode
    if late:
        log.add("\n[ended after %.1f s]\n" % spent)
        sentence = "it took more than %.0f s and %s be ended" % (spent, "had to" if gone else "could not")
        return Done("late", sentence, log.text(), spent)
    words = "exit %d" % status if status >= 0 else "signal %d" % -status
    log.add("\n[%s after %.1f s]\n" % (words, spent))
    return Done("failed" if status else "ok", "it ends with %s" % words if status else "", log.text(), spent)


class Clocks:
    """nvidia-smi beside a stage: take() is what the card did since the last take, as fields of a line."""

    FIELDS = ("sm_mhz", "memory_mhz", "watts", "celsius")
    QUERY = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu"

    def __init__(self, program, index):
        self.since, self.all, self.latest, self.lock, self.process = [], [], {}, threading.Lock(), None
        if program is None:
            return
        command = [program, self.QUERY, "--format=csv,noheader,nounits", "-i", index, "-lms", "250"]
        if shutil.which("stdbuf"):
            command = ["stdbuf", "-oL", *command]  # else its lines may lie in a buffer until the stage is over
        try:
            self.process, lines = start(command)
        except OSError:
            return
        threading.Thread(target=self.read, args=(lines,), daemon=True).start()

    def read(self, lines):
        for line in iter(lambda: lines.get()[1], None):
            try:
                values = [float(word) for word in line.split(",")]
            except ValueError:
                continue  # "[N/A]", or a sentence
            if len(values) == len(self.FIELDS):
                with self.lock:
                    self.since.append(values)
                    self.all.append(values)

    def take(self):
        with self.lock:
            since, self.since = self.since, []
        if since:
            self.latest = {name: statistics.median(column) for name, column in zip(self.FIELDS, zip(*since))}
        return dict(self.latest)

    def stop(self):
        """Ends it, and gives the range of the whole: {} where nothing was read."""
        if self.process is not None:
            end_group(self.process)
        ranges = {}
        with self.lock:
            for name, column in zip(self.FIELDS, zip(*self.all)):
                ranges.update({name: statistics.median(column), name + "_low": min(column), name + "_high": max(column)})
        return ranges
