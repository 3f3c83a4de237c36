# -*- coding: utf-8 -*-
"""Says what of Python 2.7 does not work in an image. Run with a folder to write in."""
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


# For Windows, macOS, OS/2, Tk and test suites, and what Debian has in packages of
# their own.
ELSEWHERE = ("antigravity this test idlelib lib-tk Tkinter _tkinter lib2to3.pgen2.conv _gdbm gdbm dl macpath os2emxpath "
             "msilib _msi encodings.mbcs ctypes.wintypes distutils.msvccompiler distutils.msvc9compiler "
             "distutils.command.bdist_msi multiprocessing.popen _winreg bsddb.test sqlite3.test ctypes.test json.tests "
             "email.test unittest.test distutils.tests lib2to3.tests ctypes.macholib bsddb185 dbhash _osx_support "
             "xxsubtype ttk turtle tkColorChooser sunaudio nis ossaudiodev audiodev Canvas Dialog _LWPCookieJar _MozillaCookieJar").split()


@check("import everything")
def _():
    count = 0
    lib = os.path.dirname(os.__file__)
    names = set(sys.builtin_module_names)
    for _, name, _ in pkgutil.walk_packages([lib, lib + "/lib-dynload"], onerror=lambda n: None):
        names.add(name)
    for name in sorted(names):
        if name.endswith("__main__") or any(name == e or name.startswith(e + ".") for e in ELSEWHERE) or name.startswith("_test"):
            continue
        try:
            __import__(name)
            count += 1
        except BaseException as e:
            faults.append("import %s: %s: %s" % (name, type(e).__name__, e))
    if count < 400:
        raise AssertionError("only %d modules" % count)


@check("ctypes")
def _():
    import ctypes.util
    expect(ctypes.CDLL("libc.so.6").strlen("four"), 4)
    for name in ("c", "ssl", "sqlite3"):
        ctypes.CDLL(ctypes.util.find_library(name) or "no library " + name)


@check("ssl")
def _():
    import ssl
    context = ssl.create_default_context()
    if len(context.get_ca_certs()) < 100 or context.verify_mode != ssl.CERT_REQUIRED:
        raise AssertionError("%d authorities" % len(context.get_ca_certs()))


@check("sqlite3")
def _():
    import sqlite3
    expect(sqlite3.connect(":memory:").execute("select 6*7").fetchone(), (42,))


@check("compression, readline, curses")
def _():
    import bz2, curses, readline, zlib
    data = os.urandom(1000) * 50
    for m in (bz2, zlib):
        expect(m.decompress(m.compress(data)), data)
    readline.parse_and_bind("tab: complete")
    curses.setupterm("vt100", 1)


def square(n):
    return n * n


@check("multiprocessing")
def _():
    import multiprocessing
    pool = multiprocessing.Pool(2)
    expect(pool.map(square, range(5)), [0, 1, 4, 9, 16])
    pool.terminate()


@check("text")
def _():
    import locale
    expect(locale.setlocale(locale.LC_ALL, ""), "C.UTF-8")
    expect(sys.getfilesystemencoding(), "UTF-8")
    name = os.path.join(sys.argv[1].decode(), u"grüße-日本.txt")
    open(name, "w").close()
    expect(os.path.basename(name) in os.listdir(sys.argv[1].decode()), True)
    os.remove(name)


@check("subprocess")
def _():
    expect(subprocess.check_output([sys.executable, "-c", "print(6*7)"]), "42\n")
    try:
        subprocess.call("exit 0", shell=True)
    except OSError:
        return
    raise AssertionError("shell=True found a shell")


if __name__ == "__main__":
    for fault in faults:
        print(fault)
    print("all well" if not faults else "%d faults" % len(faults))
    sys.exit(bool(faults))
