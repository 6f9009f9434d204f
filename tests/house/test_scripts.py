#!/usr/bin/env python3
"""The scripts on machines that this one is not: no root, nothing missing, half an installation, no HOME."""
import os
import re
import stat
import subprocess
import tempfile
import unittest

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
SITE = "venv/lib/python3.11/site-packages"


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bin, self.deps = os.path.join(folder.name, "bin"), os.path.join(folder.name, "deps")
        os.makedirs(self.bin)
        self.calls = os.path.join(folder.name, "calls")
        # The machine: every Debian package is there, nobody is root, and nothing may be installed without being seen.
        self.command("dpkg-query", "printf installed")
        self.command("id", "echo 1000")
        for name in ("apt-get", "sudo"):
            self.command(name, f'echo "{name} $*" >>"{self.calls}"; exit 1')

    def command(self, name, body):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/bash\n{body}\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def install_torch(self):
        with open(os.path.join(SCRIPTS, "setup"), encoding="utf-8") as file:
            wanted = re.search(r"^pypi_packages=\((.*)\)$", file.read(), re.MULTILINE).group(1)
        for path, text in ((f"{SITE}/torch/lib/libtorch_cpu.so", "x"), (f"{SITE}/nvidia/cu13/include/nvml.h", "x"),
                           (f"{SITE}/nvidia/cu13/include/crt/host_config.h", "x"), (f"{SITE}/nvidia/cu13/include/nv/target", "x"),
                           ("venv/manta-stamp", wanted)):
            full = os.path.join(self.deps, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        self.command("pip", "exit 1")

    def run_script(self, name, *args, **environment):
        env = {"PATH": self.bin + ":/usr/bin:/bin", "MANTA_DEPS": self.deps, "TMPDIR": self.bin, "CI": "true", **environment}
        ran = subprocess.run([os.path.join(SCRIPTS, name), *args], env=env, cwd="/", stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=60, check=False)
        with open(self.calls, "a+", encoding="utf-8") as file:
            file.seek(0)
            return ran.returncode, ran.stdout + ran.stderr, file.read()

    def test_when_all_is_there_nothing_is_called(self):
        self.install_torch()
        code, output, calls = self.run_script("setup")
        self.assertEqual((code, calls), (0, ""), output)
        self.assertIn("all there", output)

    def test_without_root_and_sudo_the_list_is_printed(self):
        self.command("dpkg-query", '[[ "${@: -1}" == ninja-build ]] || printf installed')
        code, output, calls = self.run_script("setup")
        self.assertEqual(code, 1, output)
        self.assertIn("apt-get install --no-install-recommends ninja-build\n", output)
        self.assertEqual(calls, "sudo -n true\n")

    def test_check_finds_what_is_missing_and_installs_nothing(self):
        self.install_torch()
        self.assertEqual(self.run_script("setup", "--check")[::2], (0, ""))
        os.remove(os.path.join(self.deps, SITE, "torch/lib/libtorch_cpu.so"))
        code, output, calls = self.run_script("setup", "--check")
        self.assertEqual((code, calls), (1, ""))
        self.assertIn("missing in", output)

    def test_another_version_counts_as_missing(self):
        self.install_torch()
        with open(os.path.join(self.deps, "venv/manta-stamp"), "w", encoding="utf-8") as file:
            file.write("torch==1.0")
        self.assertEqual(self.run_script("setup", "--check")[0], 1)

    def test_a_folder_that_cannot_be_written_to_is_named(self):
        code, output, _ = self.run_script("setup", MANTA_DEPS="/proc/manta")
        self.assertEqual(code, 1)
        self.assertIn("/proc/manta cannot be written to", output)

    def test_every_script_has_a_manual_and_the_flags_are_checked(self):
        for name in ("setup", "test", "bench"):
            with self.subTest(name):
                code, output, _ = self.run_script(name, "--help")
                self.assertEqual(code, 0)
                self.assertIn(f"scripts/{name}", output)
        code, output, _ = self.run_script("setup", "--chek")
        self.assertEqual(code, 1)
        self.assertIn("unknown flag --chek", output)

    def test_the_scripts_are_valid_bash(self):
        for name in ("common.sh", "setup", "test", "demo", "bench", "../.ci/run"):
            with self.subTest(name):
                ran = subprocess.run(["bash", "-n", os.path.join(SCRIPTS, name)], capture_output=True, text=True, check=False)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
