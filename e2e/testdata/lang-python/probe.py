"""Says what of Python does not work in an image. Run with a folder to write in."""
import ctypes.util
import importlib
import os
import pkgutil
import subprocess
import sys
import warnings

warnings.simplefilter("ignore")
faults = []


def check(name):
    def run(f):
        try:
            f()
        except BaseException as e:  # SystemExit too
            faults.append("%s: %s: %s" % (name, type(e).__name__, e))
    return run


def expect(got, want):
    if got != want:
        raise AssertionError("%r, want %r" % (got, want))


# What cannot be imported anywhere but on Windows, macOS or with Tk, and what
# Debian has in packages of their own. See "optional module" in Python's library
# reference.
ELSEWHERE = {"antigravity", "this", "idlelib", "turtledemo", "tkinter", "_tkinter", "turtle", "test",
             "msvcrt", "winreg", "winsound", "_winapi", "_winreg", "nt", "_overlapped", "_wmi", "msilib", "_msi",
             "_scproxy", "_osx_support", "asyncio.windows_events", "asyncio.windows_utils", "ctypes.wintypes",
             "multiprocessing.popen_spawn_win32", "encodings.mbcs", "encodings.oem", "encodings.cp65001",
             "distutils._msvccompiler", "distutils.msvc9compiler", "distutils.msvccompiler", "distutils.command.bdist_msi",
             "nturl2path", "_crypt", "dbm.gnu", "_gdbm", "nis", "ossaudiodev", "lib2to3.pgen2.conv", "_pyrepl.windows_console",
             "_ios_support", "_distutils_system_mod"}
if sys.version_info >= (3, 13):
    ELSEWHERE |= {"dbm.ndbm", "_dbm"}


def modules():
    """Every module of the standard library: built in, in the library's folder, in lib-dynload."""
    names = set(sys.builtin_module_names)
    lib = os.path.dirname(os.__file__)
    for _, name, _ in pkgutil.walk_packages([lib, lib + "/lib-dynload"], onerror=lambda n: faults.append("walk " + n)):
        names.add(name)
    if hasattr(sys, "stdlib_module_names"):
        names |= sys.stdlib_module_names
    for name in sorted(names):
        top = name.split(".")[0]
        if name in ELSEWHERE or top in ELSEWHERE or name.endswith("__main__") or top.startswith(("_test", "test")):
            continue
        yield name


@check("import everything")
def _():
    count = 0
    for name in modules():
        try:
            importlib.import_module(name)
            count += 1
        except BaseException as e:
            faults.append("import %s: %s: %s" % (name, type(e).__name__, e))
    if count < 500:
        raise AssertionError("only %d modules" % count)


@check("ctypes")
def _():
    libc = ctypes.CDLL("libc.so.6")
    expect(libc.strlen(b"four"), 4)
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    libc.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), callback(lambda a, b: a[0] - b[0]))
    expect(list(numbers), [1, 2, 3])
    for name in ("c", "ssl", "sqlite3"):
        found = ctypes.util.find_library(name)
        if not found:
            raise AssertionError("find_library(%r) finds nothing" % name)
        ctypes.CDLL(found)


@check("local modules")
def _():
    at = "/usr/local/lib/python%d.%d/dist-packages" % sys.version_info[:2]
    expect((os.path.isdir(at), at in sys.path), (True, True))


@check("ssl")
def _():
    import ssl
    context = ssl.create_default_context()
    if len(context.get_ca_certs()) < 100 or context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise AssertionError("%d authorities" % len(context.get_ca_certs()))


@check("hashlib")
def _():
    import hashlib
    for name in sorted(hashlib.algorithms_guaranteed):
        hashlib.new(name, b"x")


@check("sqlite3")
def _():
    import sqlite3
    db = sqlite3.connect(":memory:")
    expect(db.execute("select json_extract('{\"a\": 7}', '$.a')").fetchone(), (7,))
    db.execute("create virtual table t using fts5(x)")


@check("compression")
def _():
    import bz2, gzip, lzma, zlib
    data = os.urandom(1000) * 50
    for m in (bz2, gzip, lzma, zlib):
        expect(m.decompress(m.compress(data)), data)


@check("readline")
def _():
    import readline
    readline.parse_and_bind("tab: complete")
    readline.add_history("x")
    expect(readline.get_current_history_length(), 1)


@check("curses")
def _():
    import curses
    curses.setupterm("vt100", 1)


@check("zoneinfo")
def _():
    import datetime, zoneinfo
    at = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("America/New_York"))
    expect(at.utcoffset(), datetime.timedelta(hours=-4))
    zoneinfo.ZoneInfo("US/Eastern")
    if len(zoneinfo.available_timezones()) < 400:
        raise AssertionError("%d zones" % len(zoneinfo.available_timezones()))


def square(n):
    return n * n


@check("multiprocessing")
def _():
    import multiprocessing
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            expect(pool.map(square, range(5)), [0, 1, 4, 9, 16])
    from multiprocessing import shared_memory
    m = shared_memory.SharedMemory(create=True, size=16)
    m.close()
    m.unlink()


@check("text")
def _():
    import locale
    expect(sys.getfilesystemencoding(), "utf-8")
    expect(locale.getpreferredencoding().lower(), "utf-8")
    expect(locale.setlocale(locale.LC_ALL, ""), "C.UTF-8")
    name = os.path.join(sys.argv[1], "grüße-日本.txt")
    with open(name, "w") as f:
        f.write("ünï")
    expect(os.path.basename(name) in os.listdir(sys.argv[1]), True)
    expect(open(name, "rb").read().decode("utf-8"), "ünï")
    os.remove(name)


@check("subprocess")
def _():
    out = subprocess.run([sys.executable, "-c", "print(6*7)"], stdout=subprocess.PIPE, check=True).stdout
    expect(out, b"42\n")
    if os.path.exists("/bin/sh"):
        return  # a debug image
    try:
        subprocess.run("exit 0", shell=True)
    except FileNotFoundError:
        return
    raise AssertionError("shell=True found a shell")


@check("venv")
def _():
    import venv
    at = os.path.join(sys.argv[1], "venv")
    venv.create(at, with_pip=False)
    out = subprocess.run([at + "/bin/python", "-c", "import sys; print(sys.prefix)"], stdout=subprocess.PIPE, check=True).stdout
    expect(out.decode().strip(), at)


@check("time, accounts, mail types")
def _():
    import getpass, mimetypes, pwd, time
    expect(time.tzname, ("UTC", "UTC"))
    pwd.getpwuid(os.getuid())
    expect(mimetypes.guess_type("x.json")[0], "application/json")


@check("http over TLS sockets")
def _():
    import http.server, threading, urllib.request
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *a: None
    threading.Thread(target=server.handle_request).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://127.0.0.1:%d/" % server.server_port) as answer:
        expect(answer.status, 200)


if __name__ == "__main__":
    for fault in faults:
        print(fault)
    print("all well" if not faults else "%d faults" % len(faults))
    sys.exit(bool(faults))
