#!/usr/bin/env python3
"""Each check of cmake/checks can fail: small bad trees, and good ones beside them."""
import os
import subprocess
import sys
import tempfile
import unittest

CHECKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cmake", "checks")


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, path, text):
        full = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return full

    def check(self, name, *args):
        ran = subprocess.run([sys.executable, "-B", os.path.join(CHECKS, f"check_{name}.py"), self.folder.name, *args],
                             capture_output=True, text=True, check=False)
        self.assertEqual(ran.stderr, "")
        return ran.returncode, ran.stdout

    def assert_clean(self, name, *args):
        code, output = self.check(name, *args)
        self.assertEqual(code, 0, output)

    def assert_found(self, words, name, *args):
        code, output = self.check(name, *args)
        self.assertEqual(code, 1, output)
        self.assertIn(words, output)


class Includes(Tree):
    def setUp(self):
        super().setUp()
        self.write("runtime/base/error.hpp", "#include <string>\n")
        self.write("runtime/core/ledger.hpp", '#include "runtime/base/error.hpp"\n')
        self.write("runtime/store/rocksdb_store.cpp", '#include <rocksdb/db.h>\n#include <sys/mman.h>\n')
        self.write("runtime/runtime.hpp", '#include "runtime/base/error.hpp"\n')
        self.write("runtime/wire/task.capnp", "")
        self.write("tune/tuner.hpp", '#include "runtime/runtime.hpp"\n')
        self.write("train/trainer.hpp", '#include "runtime/runtime.hpp"\n')

    def test_a_good_tree_passes(self):
        self.write("runtime/wire/codec.cpp", '#include "runtime/wire/task.capnp.h"\n#include "runtime/core/ledger.hpp"\n')
        self.write("tune/core/machine.cpp", '#include "tune/tuner.hpp"\n')
        self.assert_clean("includes")

    def test_core_may_not_include_store(self):
        self.write("runtime/store/arena.hpp", "")
        self.write("runtime/core/owner.cpp", '\n  # include "runtime/store/arena.hpp"\n')
        self.assert_found("runtime/core/owner.cpp:2: runtime/core may not include runtime/store", "includes")

    def test_core_includes_no_third_party(self):
        self.write("runtime/core/owner.cpp", "#include <fmt/format.h>\n")
        self.assert_found("runtime/core includes no third party", "includes")

    def test_caf_stays_in_actors(self):
        self.write("runtime/wire/codec.cpp", "#include <caf/all.hpp>\n")
        self.assert_found("<caf/all.hpp> is not for runtime/wire", "includes")

    def test_rocksdb_is_for_its_own_files(self):
        self.write("runtime/store/rocksdb_files.hpp", "#include <rocksdb/options.h>\n")
        self.assert_clean("includes")
        self.write("runtime/store/second.cpp", "#include <rocksdb/options.h>\n")
        self.assert_found("runtime/store/second.cpp: <rocksdb/…> is for runtime/store/rocksdb_* alone", "includes")

    def test_torch_stays_in_train(self):
        self.write("tune/core/machine.cpp", "#include <torch/torch.h>\n")
        self.assert_found("LibTorch is train's alone", "includes")

    def test_tune_and_train_do_not_meet(self):
        self.write("tune/core/machine.cpp", '#include "train/trainer.hpp"\n')
        self.assert_found("tune/core may not include train:public", "includes")

    def test_tune_sees_public_headers_only(self):
        self.write("tune/core/machine.cpp", '#include "runtime/core/ledger.hpp"\n')
        self.assert_found("tune/core may not include runtime/core", "includes")

    def test_public_headers_do_not_include_internals(self):
        self.write("runtime/task.hpp", '#include "runtime/core/ledger.hpp"\n')
        self.assert_found("runtime:public may not include runtime/core", "includes")

    def test_examples_see_public_headers_only(self):
        self.write("examples/demo/main.cpp", '#include "runtime/core/ledger.hpp"\n')
        self.assert_found("examples may not include runtime/core", "includes")

    def test_unknown_third_parties_and_folders_are_found(self):
        self.write("runtime/wire/codec.cpp", "#include <folly/Function.h>\n")
        self.assert_found("belongs to no third party", "includes")
        self.write("runtime/misc/thing.cpp", '#include "runtime/base/error.hpp"\n')
        self.assert_found("folder runtime/misc is not in the table", "includes")

    def test_a_test_may_include_its_neighbour(self):
        self.write("tests/tune/support.hpp", "")
        self.write("tests/tune/a_test.cpp", '#include "support.hpp"\n')
        self.assert_clean("includes")

    def test_relative_includes_are_found(self):
        self.write("runtime/core/owner.cpp", '#include "ledger.hpp"\n')
        self.assert_found("is not a path from the root", "includes")


class Sizes(Tree):
    def function(self, lines, head="int f(int x) {"):
        return head + "\n" + "  ;\n" * (lines - 2) + "}\n"

    def test_what_is_at_the_limit_passes(self):
        self.write("runtime/base/a.cpp", self.function(70) + "\n" * 430)
        self.write("runtime/base/a.hpp", "\n" * 300)
        self.assert_clean("sizes")

    def test_long_files_are_found(self):
        self.write("runtime/base/a.cpp", "\n" * 501)
        self.write("runtime/base/a.hpp", "\n" * 301)
        self.assert_found("a.cpp: 501 lines, the limit is 500", "sizes")
        self.assert_found("a.hpp: 301 lines, the limit is 300", "sizes")

    def test_long_functions_of_every_shape_are_found(self):
        shapes = {
            "f": "int f(int x) {", "method": "namespace n {\nstruct S {\nint method() const noexcept\n{",
            "S::S": "S::S(int a) : a_{a}, b_(2), c_{3} {", "arrow": "auto arrow() -> std::vector<int> {",
            "limited": "template <class T>\nrequires(sizeof(T) > 1)\nT limited(T t = {}) {", "TEST_CASE": 'TEST_SUITE("s") {\nTEST_CASE("a } {") {'}
        for name, head in shapes.items():
            with self.subTest(name):
                self.write("runtime/base/a.cpp", "int before() { return 1'000 + '{'; }\n" + self.function(71, head))
                self.assert_found(f": {name}: ", "sizes")

    def test_braces_in_text_and_comments_do_not_count(self):
        self.write("runtime/base/a.cpp", 'int f() { return g("{", R"x({)x", \'{\'); } // {\n/* { */' + "\n" * 80 + "int h() { return 1; }\n")
        self.assert_clean("sizes")

    def test_a_suite_of_short_cases_is_no_function(self):
        self.write("tests/a.cpp", 'TEST_SUITE("s") {\n' + 9 * self.function(30, 'TEST_CASE("x") {') + "}\n")
        self.assert_clean("sizes")

    def test_an_allowance_wants_a_reason_and_a_need(self):
        self.write("runtime/base/a.cpp", self.function(90))
        self.assert_clean("sizes", self.write("allow.txt", "runtime/base/a.cpp:f 90 one table, read top to bottom\n"))
        self.assert_found("the limit is 80", "sizes", self.write("allow.txt", "runtime/base/a.cpp:f 80 too small\n"))
        self.assert_found("wants PATH LIMIT REASON", "sizes", self.write("allow.txt", "runtime/base/a.cpp:f 90\n"))
        self.write("runtime/base/a.cpp", "")
        self.assert_found("needs no allowance", "sizes", self.write("allow.txt", "runtime/base/a.cpp:f 90 why\n"))


class Paths(Tree):
    def test_paths_of_a_machine_and_registries_are_found(self):
        for text in ("/wo" + "rk/main/x", "cd /ro" + "ot/.cache", '"/ho' + 'me/me/x"', "https://py" + "pi.org/simple",
                     "http://deb.deb" + "ian.org/"):
            with self.subTest(text):
                self.write("docs/a.md", f"fine\n{text}\n")
                self.assert_found("docs/a.md:2:", "paths")

    def test_ordinary_paths_pass_and_builds_are_not_looked_at(self):
        self.write("docs/a.md", "/usr/share/x ~/.cache/manta ${HOME}/x homework/main /proc/self network/x\n")
        self.write("build/x", "/wo" + "rk/main/x\n")
        self.assert_clean("paths")


class Faults(Tree):
    def setUp(self):
        super().setUp()
        numbers = [1, 2, 3, 5, *range(11, 17), *range(18, 26), 27, *range(29, 41)]
        self.write("tests/runtime/faults/all_test.cpp", "".join(
            f'  TEST_CASE("fault {number}: it ends well") {{\n    Machine machine;\n  }}\n' for number in numbers))

    def test_all_numbers_with_what_looks_at_the_end_pass(self):
        self.write("tests/runtime/wire/more_test.cpp", '  TEST_CASE("fault 27: more") {\n    const manta_test::Clean clean;\n  }\n')
        self.assert_clean("faults")

    def test_a_case_that_does_not_look_is_found(self):
        self.write("tests/runtime/wire/more_test.cpp",
                   '  TEST_CASE("fault 27: more") {\n  }\n  TEST_CASE("other") {\n    Machine machine;\n  }\n')
        self.assert_found("tests/runtime/wire/more_test.cpp:1: fault 27 does not end clean", "faults")

    def test_a_number_without_a_case_is_found(self):
        self.write("tests/runtime/faults/all_test.cpp", '  TEST_CASE("fault 1: it ends well") {\n    Machine machine;\n  }\n')
        self.assert_found("fault 40 has no test case", "faults")


class Docs(Tree):
    def test_links_must_lead_somewhere(self):
        self.write("docs/b.md", "# Some Title\n")
        self.write("README.md", "[b](docs/b.md#some-title) [web](https://example.com)\n")
        self.assert_clean("docs")
        self.write("README.md", "ok\n[c](docs/c.md)\n")
        self.assert_found("README.md:2: docs/c.md does not exist", "docs")

    def test_state_names_must_be_the_codes(self):
        self.write("runtime/core/task_table.hpp", "enum class TaskState { kPending, kDone };\n")
        self.write("docs/states.md", "## Tasks: `TaskState`\n| state | next |\n|---|---|\n| `kPending` | `kDone` |\n| `kDone` | |\n")
        self.assert_clean("docs")
        self.write("docs/states.md", "## Tasks: `TaskState`\n| state | next |\n|---|---|\n| `kPending` | `kGone` |\n")
        self.assert_found("kGone is no enumerator of TaskState", "docs")
        self.assert_found("kDone of TaskState is missing", "docs")


if __name__ == "__main__":
    unittest.main()
