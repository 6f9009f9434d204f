#include "tune/report/page.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "../support.hpp"
#include "runtime/errors.hpp"
#include "tune/report/charts.hpp"
#include "tune/report/show_text.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// `count` trials: loss falls with the iterations to a value that "lr" and "kind" give; each third is stopped at a rung.
ExperimentHistory history_of(std::size_t count) {
  ExperimentHistory history{.name = "a <b> & \"c\"", .seed = 7, .metric = "loss"};
  history.description = {{"space", "{lr: loguniform(0.001, 1), kind: choice([a,b])}"}, {"scheduler", "asha"}};
  history.begun_ms = history.session_ms = 1'000'000, history.last_ms = 1'090'000, history.sessions = 1;
  for (std::size_t i = 0; i < count; ++i) {
    const double place = std::fmod(static_cast<double>(i) * 0.618, 1.0);
    Config config;
    config.set("lr", std::pow(10, 3 * place - 3));
    config.set("kind", i % 2 ? "a" : "b");
    config.set("model/constant", 3);
    Trial trial{.index = static_cast<TrialIndex>(i), .config = config};
    name_trial(trial, "abcde", "f");
    trial.state = TrialState::kTerminated;
    std::vector<ResultRow> rows;
    for (std::uint64_t t = 1; t <= (i % 3 ? 4u : 2u); ++t) {
      const Metrics metrics{{"loss", std::abs(place - 0.5) + 1.0 / static_cast<double>(t)}, {"cost", 1 - place}};
      trial.record(t, metrics, 0.5);
      rows.push_back({t, 0, trial.time_total_s, t == 2 ? 2.0 : 0.0, metrics});
    }
    history.trials.push_back(trial);
    history.results.push_back(rows);
    history.times.push_back({});
  }
  return history;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

std::vector<std::string> tick_labels(const Scale& scale, std::size_t count = 5) {
  std::vector<std::string> labels;
  for (const auto& tick : scale.over(0, 100).ticks(count)) labels.push_back(tick.label);
  return labels;
}

}  // namespace

TEST_SUITE("tune/report") {
  TEST_CASE("the page has every picture, needs nothing from elsewhere, and escapes what it is told") {
    const std::string page = report_page(history_of(40), {{"loss", Mode::kMin}, {"cost", Mode::kMin}});
    for (const char* heading : {"Optimisation history", "Learning curves", "Parameter importances", "Pareto front",
                                "Parallel coordinates", "Slices", "Trials"})
      CHECK(has(page, "<h2>" + std::string(heading) + "</h2>"));
    for (const char* outside : {"http:", "https:", "src=", "href=", "@import", "url("}) CHECK_FALSE(has(page, outside));
    CHECK(has(page, "<h1>a &lt;b&gt; &amp; &quot;c&quot;</h1>"));
    CHECK_FALSE(has(page, "a <b>"));
    CHECK(count_of(page, "<svg") == count_of(page, "</svg>"));
    CHECK(count_of(page, "<script>") == 1);
    CHECK(count_of(page, "<figure>") == count_of(page, "</figure>"));
    const std::string drawn = page.substr(0, page.find("<script>"));
    CHECK_FALSE(has(drawn, "\"nan"));
    CHECK_FALSE(has(drawn, "inf"));
  }

  TEST_CASE("an experiment without results, with one trial, or with failures only, gives a page too") {
    CHECK(has(report_page(history_of(0)), "No trial has reported a finite loss yet."));
    const std::string one = report_page(history_of(1));
    CHECK(has(one, "Learning curves"));
    CHECK_FALSE(has(one, "Parameter importances"));
    ExperimentHistory failed = history_of(3);
    for (std::size_t i = 0; i < 3; ++i) {
      failed.trials[i].last = {{"loss", NAN}};
      failed.trials[i].state = TrialState::kError, failed.trials[i].failures = 1;
      failed.trials[i].error = "</script><b>boom";
    }
    const std::string page = report_page(failed);
    CHECK(has(page, "<h2>Failures</h2>"));
    CHECK(has(page, "&lt;/script&gt;&lt;b&gt;boom"));
    CHECK(count_of(page, "</script>") == 1);
    CHECK_THROWS_AS(report_page(history_of(3), {{"absent", Mode::kMin}}), InvalidArgument);
    CHECK(has(error_of([] { report_page(history_of(3), {{"absent", Mode::kMin}}); }), "loss, cost"));
  }

  TEST_CASE("results that differ by rounding only are drawn, with few ticks") {
    for (const auto& [low, high] : std::vector<std::pair<double, double>>{{0.3, 0.1 + 0.2}, {1, std::nextafter(1.0, 2.0)}, {1e300, 1.000000000001e300}, {-5, -5 + 1e-15}}) {
      CAPTURE(low);
      CHECK(Scale::linear(low, high).ticks(5).size() < 20);
      CHECK(scale_for({low, high}, Mode::kMin).ticks(5).size() >= 1);
    }
    CHECK(Scale::logarithmic(2, std::nextafter(2.0, 3.0)).ticks(5).size() < 20);
    ExperimentHistory history = history_of(2);
    for (std::size_t i = 0; i < 2; ++i) {
      history.trials[i].last = {{"loss", i == 0 ? 0.3 : 0.1 + 0.2}};
      for (ResultRow& row : history.results[i]) row.metrics = history.trials[i].last;
    }
    CHECK(has(report_page(history), "</html>"));
  }

  TEST_CASE("curves show the rungs with the number of results at each") {
    const ExperimentHistory history = history_of(9);
    const std::string chart = curves_chart(make_model(history, {}));
    CHECK(count_of(chart, "class=\"rung\"") == 1);
    CHECK(has(chart, ">9 at 2</text>"));
    CHECK(count_of(chart, "class=\"line") == 9);
    CHECK(count_of(chart, "bestline") == 1);
  }

  TEST_CASE("the best so far only falls, and ends at the best trial") {
    const ExperimentHistory history = history_of(30);
    const ReportModel model = make_model(history, {});
    CHECK(count_of(history_chart(model), "class=\"dot\"") == 30);
    const auto best = std::min_element(model.value().begin(), model.value().end());
    CHECK(model.by_rank.front() == static_cast<std::size_t>(best - model.value().begin()));
    CHECK(model.goodness[model.by_rank.front()] == 1);
    CHECK(model.goodness[model.by_rank.back()] == 0);
  }

  TEST_CASE("parameters that differ are told apart by kind; a logarithmic one is known by the space or by its values") {
    ExperimentHistory history = history_of(60);
    const ReportModel model = make_model(history, {});
    REQUIRE(model.parameters.size() == 2);
    CHECK(model.parameters[0].logarithmic);
    CHECK(model.parameters[1].levels == std::vector<std::string>{"a", "b"});
    history.description = {};
    CHECK(make_model(history, {}).parameters[0].logarithmic);
    for (Trial& trial : history.trials) trial.config.set("lr", 1 + 100 * std::log10(1000 * trial.config.get<double>("lr")) / 3);
    CHECK_FALSE(make_model(history, {}).parameters[0].logarithmic);
    CHECK(model.importances.front().first == 0);
    CHECK(model.importances.front().share > 0.7);
  }

  TEST_CASE("of very many trials the best and an even choice of the others are drawn, and the caption says so") {
    const ExperimentHistory history = history_of(1000);
    const ReportModel model = make_model(history, {});
    const auto shown = model.shown(100);
    REQUIRE(shown.size() == 100);
    CHECK(shown.back() == model.by_rank[0]);
    CHECK(std::count(shown.begin(), shown.end(), model.by_rank[49]) == 1);
    CHECK(std::set<std::size_t>(shown.begin(), shown.end()).size() == 100);
    CHECK(has(parallel_chart(model), "Of 1000 trials 400 are drawn"));
    CHECK(report_page(history).size() < 1'500'000);
  }

  TEST_CASE("of a trial with very many results so many are drawn that the page stays small, and the caption says so") {
    ExperimentHistory history = history_of(40);
    CHECK_FALSE(has(curves_chart(make_model(history, {})), "so many are drawn"));
    for (auto& rows : history.results)
      for (std::uint64_t t = rows.size() + 1; t <= 5000; ++t) rows.push_back({t, 0, 1, 0, {{"loss", 1.0 / static_cast<double>(t)}}});
    CHECK(has(curves_chart(make_model(history, {})), "Of a trial with more than 200 results so many are drawn"));
    CHECK(report_page(history).size() < 500'000);
  }

  TEST_CASE("axes have round numbers") {
    CHECK(tick_labels(Scale::linear(0, 1)) == std::vector<std::string>{"0", "0.2", "0.4", "0.6", "0.8", "1"});
    CHECK(tick_labels(Scale::linear(-3, 12)) == std::vector<std::string>{"0", "5", "10"});
    CHECK(tick_labels(Scale::logarithmic(1e-4, 1)) == std::vector<std::string>{"0.0001", "0.001", "0.01", "0.1", "1"});
    CHECK(tick_labels(Scale::logarithmic(2, 60)) == std::vector<std::string>{"2", "5", "10", "20", "50"});
    CHECK(tick_labels(Scale::linear(5, 5)).size() >= 2);
    CHECK(tick_labels(Scale::categories({"x", "y"})) == std::vector<std::string>{"x", "y"});
    const Scale log = Scale::logarithmic(1, 100).over(0, 100);
    CHECK(log(10) == doctest::Approx(50));
    CHECK(log(1000) == 100);
  }

  TEST_CASE("labels below an axis do not lie over each other") {
    const Box box{60, 0, 270, 100};
    const auto labels = [&](double high) {
      return count_of(x_axis(box, Scale::linear(0.999991, high).over(box.left, box.right()), "b", 6), "class=\"axis middle\"");
    };
    const std::size_t grid = Scale::linear(0.999991, 0.999994).over(box.left, box.right()).ticks(6).size();
    CHECK(grid >= 5);
    CHECK(labels(0.999994) >= 3);
    CHECK(labels(0.999994) < grid);
    CHECK(count_of(x_axis(box, Scale::linear(0, 1).over(box.left, box.right()), "x", 6), "class=\"axis middle\"") == 6);
  }

  TEST_CASE("one bad result far off does not squeeze the others; a good one has its place, however far off") {
    std::vector<double> values;
    for (int i = 0; i < 50; ++i) values.push_back(-1 + 0.01 * i);
    values.push_back(1e6);
    CHECK(scale_for(values, Mode::kMin).inside(-0.6));
    CHECK_FALSE(scale_for(values, Mode::kMin).inside(1e6));
    CHECK(scale_for(values, Mode::kMin).inside(-1));
    CHECK(scale_for(values, Mode::kMax).inside(1e6));
    CHECK(scale_for(values, Mode::kMin, {1e6}).inside(1e6));
    for (double& value : values) value = -value;
    CHECK_FALSE(scale_for(values, Mode::kMax).inside(-1e6));
    CHECK(scale_for(values, Mode::kMin).inside(-1e6));
  }

  TEST_CASE("where most results are the same number, those that differ are told apart") {
    std::vector<double> values(24, 0.1);
    for (int i = 0; i < 6; ++i) values.push_back(0.6 + 0.05 * i);
    for (const Mode mode : {Mode::kMin, Mode::kMax}) {
      const Scale scale = scale_for(values, mode).over(0, 100);
      for (std::size_t i = 25; i < values.size(); ++i) CHECK(scale(values[i]) > scale(values[i - 1]) + 5);
    }
    std::vector<double> far(80, 1.0);
    far.insert(far.end(), 19, 2.0);
    far.push_back(-1e9);
    CHECK_FALSE(scale_for(far, Mode::kMax).inside(-1e9));
  }

  TEST_CASE("the best trials keep their places in every picture, and each says what it draws at its edge") {
    ExperimentHistory history = history_of(60);
    history.mode = Mode::kMax;
    for (std::size_t i = 0; i < 60; ++i) {  // most are the same, a few much better, one far worse
      const double loss = i == 7 ? -1e4 : i % 10 == 0 ? 0.6 + 0.01 * static_cast<double>(i) : 0.1 + 1e-4 * static_cast<double>(i);
      history.trials[i].last = {{"loss", loss}, {"cost", i == 7 ? 0.5 : 1e3 + static_cast<double>(i)}};
      for (ResultRow& row : history.results[i]) row.metrics = history.trials[i].last;
    }
    const ReportModel model = make_model(history, {{"loss", Mode::kMax}, {"cost", Mode::kMin}});
    for (const std::string& chart : {history_chart(model), curves_chart(model), parallel_chart(model), slice_charts(model)})
      CHECK(has(chart, "far off and"));
    CHECK_FALSE(has(pareto_chart(model), "far off and"));  // the worst by loss is the best by cost: a member of the front
    std::set<std::string> places;
    const std::string drawn = history_chart(model);
    for (std::size_t trial = 0; trial < 60; trial += 10) {
      const std::string tail = drawn.substr(0, drawn.find(of_trial(trial) + "/>"));
      places.insert(tail.substr(tail.rfind(" cy=\"")).substr(0, 12));
    }
    CHECK(places.size() == 6);
  }

  TEST_CASE("a parameter whose values agree in five digits is in the report, and its numbers can be told apart") {
    ExperimentHistory history = history_of(12);
    for (std::size_t i = 0; i < 12; ++i) {
      history.trials[i].config.set("b", 0.9999912 + 2e-7 * static_cast<double>(i));
      history.trials[i].config.set("betas", std::vector<double>{0.9, 0.9999912 + 2e-7 * static_cast<double>(i % 2)});
    }
    const std::string page = report_page(history, {});
    CHECK(has(page, "aria-label=\"Slice of b\""));
    CHECK(has(page, "<td class=\"n\">0.9999932</td>"));
    CHECK(has(page, ">0.999992</text>"));
    CHECK(has(page, ">0.9999925</text>"));
    const ReportModel model = make_model(history, {});
    REQUIRE(model.parameters.size() == 4);
    CHECK(model.parameters[3].levels.size() == 2);
  }

  TEST_CASE("bytes that are no UTF-8 are replaced, so that the page is a text") {
    CHECK(escaped("a\xff" "b") == "a\uFFFDb");
    CHECK(escaped("caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x90\x8b") == "caf\u00e9 \u2713 \U0001F40B");
    CHECK(escaped("\xc3") == "\uFFFD");                          // cut in the middle
    CHECK(escaped("\xc0\xaf") == "\uFFFD\uFFFD");                // longer than it need be
    CHECK(escaped("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");      // a surrogate
    CHECK(escaped("\xf4\x90\x80\x80<") == "\uFFFD\uFFFD\uFFFD\uFFFD&lt;");
  }

  TEST_CASE("show prints what the experiment is, its rungs, and the best trials first") {
    ExperimentHistory history = history_of(6);
    const std::string text = show_text(history, {.max_rows = 3, .width = 160});
    CHECK(has(text, "\nmetric: loss (min)\n"));
    CHECK(has(text, "Not running; last event 1970-01-01 00:18:10 UTC, 00:01:30 after its start\n"));
    CHECK(has(text, "scheduler: asha\n"));
    CHECK(has(text, "rungs: 2: 6 results\n"));
    CHECK(has(text, "Number of trials: 6 (6 TERMINATED)\n"));
    CHECK(has(text, "... 3 more trials not shown (3 TERMINATED)\n"));
    const std::string best = history.trials[make_model(history, {}).by_rank.front()].name;
    CHECK(has(text, "Current best trial: " + best));
    CHECK(text.find("| " + best) < text.find("| f_abcde", text.find("| " + best) + 2));
    history.running = true, history.session_pid = 42;
    history.mode = Mode::kMax, history.further_objectives = {{"cost", Mode::kMin}};
    CHECK(has(show_text(history), "\nmetric: loss (max), cost (min)\n"));
    history.description.emplace_back("searcher", "choice([\"a\x1b[31m\nb\"])");
    CHECK(has(show_text(history), "\nsearcher: choice([\"a [31m b\"])\n"));
    CHECK(has(show_text(history), "Running in process 42 since 1970-01-01 00:16:40 UTC, last event after 00:01:30\n"));
  }
}
