"""`infra/package` refuses what would not run, by its name; and what builds leave behind is no file of the repository."""

import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import expand

ROOT = pathlib.Path(__file__).resolve().parents[2]

RESOURCES = expand.read(ROOT / "template.yaml")["Resources"]
FUNCTIONS = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"]
ARM64, X86_64, RISCV = 0xB7, 0x3E, 0xF3


def elf(machine, bits=2, order=1):
    """The start of an executable, and some more of it."""
    return struct.pack("<4sBBB9xHH", b"\x7fELF", bits, order, 1, 3, machine) + bytes(2_000_000)


class PackageTest(unittest.TestCase):
    """Folders as `sam build` leaves them, made by hand."""

    def checked(self, *arguments, mode=0o755, **bootstraps):
        """The exit code of a check, and what it said, with those functions in place of good ones for arm64."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (dict.fromkeys(FUNCTIONS, elf(ARM64)) | bootstraps).items():
                if content is not None:
                    file = pathlib.Path(folder) / name / "bootstrap"
                    file.parent.mkdir()
                    file.write_bytes(content)
                    file.chmod(mode)
            command = [sys.executable, ROOT / "infra/package", "--check", folder, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout.splitlines(), done.stderr.replace(folder, "FOLDER").splitlines()

    def test_what_runs_is_named_with_its_size(self):
        code, said, faults = self.checked()
        self.assertEqual((code, faults), (0, []))
        self.assertEqual([line.split() for line in said], [[name, "2.0", "MB", "arm64"] for name in FUNCTIONS])

    def test_the_other_architecture_is_asked_for(self):
        every = dict.fromkeys(FUNCTIONS, elf(X86_64))
        self.assertEqual(self.checked("--architecture", "x86_64", **every)[::2], (0, []))
        self.assertEqual(self.checked("--architecture", "x86_64")[0], 1)

    def test_whatever_would_not_run_is_refused(self):
        for content, fault in [
            (elf(X86_64), "OrderStatus: bootstrap is x86_64, not arm64"),
            (elf(RISCV), "OrderStatus: bootstrap is an ELF file for machine 0xf3, not arm64"),
            (elf(ARM64, bits=1), "OrderStatus: bootstrap is an ELF file that is not of 64 bits and little-endian, not arm64"),
            (b"#!/bin/sh\nexec something else\n", "OrderStatus: bootstrap is no ELF file, not arm64"),
            (b"", "OrderStatus: bootstrap is no ELF file, not arm64"),
            (None, "OrderStatus: FOLDER/OrderStatus/bootstrap is not there"),
        ]:
            with self.subTest(fault=fault):
                self.assertEqual(self.checked(OrderStatus=content)[::2], (1, [fault]))

    def test_every_fault_is_told_at_once(self):
        faults = ["Ingest: FOLDER/Ingest/bootstrap is not there", "Recover: bootstrap is x86_64, not arm64"]
        self.assertEqual(self.checked(Ingest=None, Recover=elf(X86_64))[::2], (1, faults))

    def test_a_file_that_cannot_be_started_is_refused(self):
        faults = [f"{name}: bootstrap is not executable" for name in FUNCTIONS]
        self.assertEqual(self.checked(mode=0o644)[::2], (1, faults))

    def test_a_build_that_fails_ends_it(self):
        with tempfile.TemporaryDirectory() as folder:
            sam = pathlib.Path(folder) / "sam"
            sam.write_text('#!/bin/sh\necho "$*"\nexit 3\n', encoding="utf-8")
            sam.chmod(0o755)
            for path, said in [
                (folder, ("build --parameter-overrides Architecture=x86_64\n", "sam build ended with 3\n")),
                ("", ("", 'sam is not here: README.md says under "Deploy it" what to install\n')),
            ]:
                command = [sys.executable, ROOT / "infra/package", "--architecture", "x86_64"]
                environment = os.environ | {"PATH": path}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, (done.stdout, done.stderr)), (1, said))

    def test_what_builds_leave_behind_is_ignored_wherever_it_is(self):
        left = ["target/x", "functions/ingest/target/release/ingest", "infra/cli/target/x", ".aws-sam/build/Ingest/bootstrap"]
        done = subprocess.run(["git", "check-ignore", *left], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout.splitlines(), left)


if __name__ == "__main__":
    unittest.main()
