"""Runs test cases of the interpreter's own `test` package: suite.py OUT MODULE [-NOT | CLASS]...

Writes to OUT a line for each test: its name, what became of it, and seconds. With names of classes
only those run. A name after `-` leaves out the tests whose id contains it.
"""

import sys
import time
import unittest


class Told(unittest.TextTestResult):
    """Also remembers every outcome, subtests included."""

    def __init__(self, *how, **more):
        super().__init__(*how, **more)
        self.found = {}
        self.seconds = {}

    def startTest(self, test):
        self.found.setdefault(test.id(), "passed")
        self.seconds[test.id()] = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.seconds[test.id()] = time.monotonic() - self.seconds[test.id()]
        super().stopTest(test)

    def _became(self, test, what):
        self.found[test.id()] = what

    def addError(self, test, err):
        self._became(test, "error")
        super().addError(test, err)

    def addFailure(self, test, err):
        self._became(test, "failed")
        super().addFailure(test, err)

    def addSkip(self, test, reason):
        self._became(test, "skipped")
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err):
        self._became(test, "failed as expected")
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self._became(test, "passed unexpectedly")
        super().addUnexpectedSuccess(test)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._became(test, "failed")
        super().addSubTest(test, subtest, err)


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def main():
    out, name, *words = sys.argv[1:]
    classes = {word for word in words if not word.startswith("-")}
    without = [word[1:] for word in words if word.startswith("-")]
    everything = flat(unittest.defaultTestLoader.loadTestsFromName(f"test.{name}"))
    chosen = [
        test
        for test in everything
        if (not classes or type(test).__name__ in classes)
        and not any(part in test.id() for part in without)
    ]
    runner = unittest.TextTestRunner(resultclass=Told, verbosity=1)
    result = runner.run(unittest.TestSuite(chosen))
    with open(out, "w") as file:
        for test, outcome in sorted(result.found.items()):
            file.write(f"{test}\t{outcome}\t{result.seconds.get(test, 0):.2f}\n")


main()
