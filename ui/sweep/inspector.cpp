// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/inspector.h"

#include <QGridLayout>
#include <cmath>

#include "app/candidate_model.h"
#include "app/format.h"
#include "ui/charts/provenance_text.h"
#include "ui/sweep/inspector_bars.h"
#include "ui/widgets/pill.h"
#include "ui/widgets/scroll.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
using optimizer::Provenance;
using optimizer::TrialStatus;

QString fixedOrDash(double v, int decimals) { return fmt::fixed(v, decimals); }

struct Figure {
    QString name;
    QString (*text)(const optimizer::Trial&, const optimizer::Judged&);
};

QString approx(const optimizer::Trial& t) { return t.provenance == Provenance::kProjected ? QStringLiteral("\u2248\u00A0") : QString(); }

/// What the comparison shows, in order.
std::vector<Figure> figures() {
    using T = const optimizer::Trial&;
    using J = const optimizer::Judged&;
    return {{Inspector::tr("Perplexity"), [](T t, J) -> QString { return fmt::significant(t.metrics.perplexity, 4); }},
            {Inspector::tr("Rise"), [](T t, J) -> QString { return fmt::signedPercent(t.metrics.ppl_delta); }},
            {Inspector::tr("p99"), [](T t, J j) -> QString { return approx(t) + fmt::milliseconds(j.p99_ms); }},
            {Inspector::tr("p50"), [](T t, J j) -> QString { return approx(t) + fmt::milliseconds(j.p50_ms); }},
            {Inspector::tr("tok/s"), [](T t, J j) -> QString { return approx(t) + fmt::significant(j.throughput_tps); }},
            {Inspector::tr("Batch"), [](T, J j) -> QString { return QString::number(j.batch); }},
            {Inspector::tr("Memory"), [](T t, J) -> QString { return t.metrics.memory_bytes > 0 ? fmt::bytes(static_cast<double>(t.metrics.memory_bytes)) : QStringLiteral("\u2013"); }},
            {Inspector::tr("Cost / 1M"), [](T t, J j) -> QString { return approx(t) + fmt::costPerMillion(j.cost_per_1m_tokens); }},
            {Inspector::tr("Bit / weight"), [](T t, J) -> QString { return fixedOrDash(t.metrics.bits_per_weight, 2); }},
            {Inspector::tr("KL"), [](T t, J) -> QString { return fixedOrDash(t.metrics.kl_divergence, 4); }},
            {Inspector::tr("Same top-1"), [](T t, J) -> QString { return fmt::percent(t.metrics.top1_agreement * 100); }},
            {Inspector::tr("Accuracy"), [](T t, J) -> QString { return fmt::percent(t.metrics.accuracy); }},
            {Inspector::tr("Speed / fp16"), [](T t, J) -> QString { return fixedOrDash(t.metrics.speed_vs_fp16, 2); }}};
}

}  // namespace

Inspector::Inspector(QWidget* parent) : Card(0, parent) {
    setObjectName(QStringLiteral("inspector"));
    setFixedWidth(size::kInspector);
    setAccessibleName(tr("Inspector"));
    box()->setContentsMargins(1, 1, 1, 1);
    auto* inner = new QWidget;
    m_body = new QVBoxLayout(inner);
    m_body->setContentsMargins(15, 13, 15, space::kS);
    m_body->setSpacing(7);
    auto* scroll = makeScroll(QStringLiteral("inspectorScroll"), inner, ScrollGround::kCard);
    m_foot = makeColumn(space::kS);
    m_foot->setContentsMargins(15, space::kXs, 15, 13);
    box()->addWidget(scroll, 1);
    box()->addLayout(m_foot);
}

void Inspector::addPair(const QString& name, const QString& value, Ink ink) {
    auto* row = makeRow();
    row->addWidget(new Label(name, Type::kBody, Ink::kMuted));
    row->addStretch();
    row->addWidget(new Label(value, Type::kBody, ink));
    m_body->addLayout(row);
}

void Inspector::addEngines(const app::EngineVerdicts& engines) {
    using Loads = app::EngineRow::Loads;
    m_body->addWidget(new Line);
    m_body->addWidget(new Label(tr("Loads in, as %1").arg(engines.layout), Type::kCaption, Ink::kMuted));
    for (const app::EngineRow& e : engines.rows) {
        const Ink ink = e.loads == Loads::kYes ? Ink::kOk : e.loads == Loads::kIf ? Ink::kWarn : Ink::kMuted;
        auto* row = makeRow(6);
        row->addWidget(new IconLabel(e.loads == Loads::kYes ? QStringLiteral("check") : e.loads == Loads::kIf ? QStringLiteral("info") : QStringLiteral("cross"), 14, ink), 0, Qt::AlignTop);
        const QString word = e.loads == Loads::kYes ? QString() : e.loads == Loads::kIf ? tr("with a condition") : tr("not");
        auto* text = new Label(word.isEmpty() ? tr("%1: %2").arg(e.engine, e.kernel) : e.kernel.isEmpty() ? tr("%1: %2").arg(e.engine, word) : tr("%1: %2, %3").arg(e.engine, e.kernel, word), Type::kBody);
        text->setWordWrap(true);
        text->setObjectName(QStringLiteral("engine.") + e.engine);
        row->addWidget(text, 1);
        m_body->addLayout(row);
        if (e.why.isEmpty()) continue;
        auto* why = new Label(e.why, Type::kCaption, Ink::kMuted);
        why->setWordWrap(true);
        why->setContentsMargins(20, 0, 0, 0);
        m_body->addWidget(why);
    }
    auto* basis = new Label(tr("From the engines' rules for these shapes; no engine was asked."), Type::kCaption, Ink::kMuted);
    basis->setWordWrap(true);
    m_body->addWidget(basis);
}

QString Inspector::contentKey(const Trials& trials, const Judgement& judgement, const std::vector<std::size_t>& which, bool running) {
    QString key = running ? QStringLiteral("running") : QStringLiteral("still");
    for (std::size_t i : which) {
        const auto& t = (*trials)[i];
        const auto& j = judgement->trials[i];
        key += QLatin1Char('\n') + QString::fromStdString(t.id + '|' + t.error + '|' + t.measured_at) + app::verdictText(t, j, running, true);
        for (const Figure& f : figures()) key += QLatin1Char('|') + f.text(t, j);
    }
    return key;
}

void Inspector::show(const Trials& trials, const Judgement& judgement, const QString& current, const QStringList& compared, bool running,
                     const QHash<QString, app::EngineVerdicts>& engines) {
    if (m_engines != engines) {
        m_engines = engines;
        m_key.clear();
    }
    std::vector<std::size_t> which;
    const optimizer::Trial* baseTrial = nullptr;
    const optimizer::Judged* base = nullptr;
    if (trials && judgement && judgement->trials.size() == trials->size()) {
        const auto add = [&](const QString& id) {
            const std::string wanted = id.toStdString();
            for (std::size_t i = 0; i < trials->size(); ++i)
                if ((*trials)[i].id == wanted && std::find(which.begin(), which.end(), i) == which.end()) which.push_back(i);
        };
        for (const QString& id : compared) add(id);
        if (which.size() < 2) {
            which.clear();
            if (!current.isEmpty()) add(current);
        }
        for (std::size_t i = 0; i < trials->size(); ++i)
            if (judgement->trials[i].baseline && (*trials)[i].status == TrialStatus::kDone) {
                baseTrial = &(*trials)[i];
                base = &judgement->trials[i];
            }
    }
    QString key = contentKey(trials, judgement, which, running);
    if (base != nullptr) key += fmt::costPerMillion(base->cost_per_1m_tokens) + fmt::milliseconds(base->p99_ms);
    if (key == m_key) return;
    m_key = key;
    clearLayout(m_body);
    clearLayout(m_foot);
    if (which.empty()) showNothing();
    else if (which.size() >= 2) showSeveral(trials, judgement, which);
    else showOne((*trials)[which.front()], judgement->trials[which.front()], baseTrial, base, running);
}

void Inspector::showNothing() {
    m_body->addWidget(new Label(tr("No candidate selected"), Type::kTitle));
    auto* hint = new Label(tr("Select one in the chart or in the table. Ctrl+click or Space compares two to four."), Type::kBody, Ink::kMuted);
    hint->setWordWrap(true);
    m_body->addWidget(hint);
    m_body->addStretch();
}

void Inspector::showOne(const optimizer::Trial& t, const optimizer::Judged& j, const optimizer::Trial* baseTrial, const optimizer::Judged* base, bool running) {
    const QString id = QString::fromStdString(t.id);
    const bool done = t.status == TrialStatus::kDone;
    auto* name = new Label(QString::fromStdString(t.candidate), Type::kTitle);
    name->setObjectName(QStringLiteral("inspectorName"));
    m_body->addWidget(name);
    if (t.status != TrialStatus::kFailed) {
        using app::Tone;
        const Tone tone = !done ? Tone::kInfo : j.winner ? Tone::kOk : j.fails.empty() ? Tone::kNeutral : Tone::kError;
        const QString icon = !done ? QStringLiteral("hourglass") : j.winner ? QStringLiteral("star") : j.fails.empty() ? QStringLiteral("check") : QStringLiteral("cross");
        auto* row = makeRow();
        row->addWidget(new Pill(tone, icon, app::verdictText(t, j, running, true)));
        row->addStretch();
        m_body->addLayout(row);
    } else {
        auto* row = makeRow();
        row->addWidget(new Pill(app::Tone::kWarn, QStringLiteral("warn"), tr("Failed")));
        row->addStretch();
        m_body->addLayout(row);
        auto* error = new Label(QString::fromStdString(t.error), Type::kBody);
        error->setWordWrap(true);
        error->setTextInteractionFlags(Qt::TextSelectableByMouse);
        m_body->addWidget(error);
    }
    if (done) {
        const optimizer::Metrics& m = t.metrics;
        if (base != nullptr && !j.baseline) {
            const auto share = [](double a, double b) { return b > 0 ? a / b : qQNaN(); };
            m_body->addWidget(new Label(tr("Against fp16 (full bar = fp16)"), Type::kCaption, Ink::kMuted));
            if (std::isfinite(j.cost_per_1m_tokens)) m_body->addWidget(new ShareBar(tr("Cost per 1M tokens"), approx(t) + fmt::costPerMillion(j.cost_per_1m_tokens), share(j.cost_per_1m_tokens, base->cost_per_1m_tokens)));
            m_body->addWidget(new ShareBar(tr("Latency p99"), approx(t) + fmt::milliseconds(j.p99_ms), share(j.p99_ms, base->p99_ms)));
            if (m.memory_bytes > 0) m_body->addWidget(new ShareBar(tr("Memory"), fmt::bytes(static_cast<double>(m.memory_bytes)), share(static_cast<double>(m.memory_bytes), static_cast<double>(baseTrial->metrics.memory_bytes))));
        }
        m_body->addWidget(new Line);
        addPair(tr("Perplexity"), fmt::significant(m.perplexity, 4));
        if (!j.baseline && std::isfinite(m.kl_divergence)) addPair(tr("KL to fp16"), fixedOrDash(m.kl_divergence, 4));
        if (!j.baseline && std::isfinite(m.top1_agreement)) addPair(tr("Same top-1 token"), fmt::percent(m.top1_agreement * 100));
        if (std::isfinite(m.accuracy)) addPair(tr("Accuracy"), tr("%1 \u00B1 %2").arg(fmt::percent(m.accuracy), fixedOrDash(m.accuracy_error, 1)));
        if (!j.baseline && std::isfinite(m.speed_vs_fp16)) {
            addPair(tr("Speed / fp16"), tr("%1\u00D7 (%2 to %3)").arg(fixedOrDash(m.speed_vs_fp16, 2), fixedOrDash(m.speed_vs_fp16_low, 2), fixedOrDash(m.speed_vs_fp16_high, 2)));
        }
        if (std::isfinite(m.bits_per_weight)) addPair(tr("Bit per weight"), fixedOrDash(m.bits_per_weight, 2));
        if (std::isfinite(j.p50_ms)) addPair(tr("p50 / p95"), tr("%1 / %2").arg(fmt::milliseconds(j.p50_ms), fmt::milliseconds(j.p95_ms)));
        addPair(tr("Batch for the cost"), QString::number(j.batch));
        if (std::isfinite(j.latency_b1_ms)) addPair(tr("p99 at batch 1"), fmt::milliseconds(j.latency_b1_ms));
        if (std::isfinite(m.time_to_first_token_ms)) addPair(tr("First token"), fmt::milliseconds(m.time_to_first_token_ms));
        if (!j.baseline && !m.layer_error.empty()) {
            m_body->addWidget(new Line);
            m_body->addWidget(new LayerErrorStrip(m.layer_error));
        }
        m_body->addWidget(new Line);
        if (!j.baseline) {
            auto* row = makeRow();
            row->addWidget(new Pill(app::Tone::kWarn, QStringLiteral("lossy"), tr("Lossy by design")));
            row->addStretch();
            m_body->addLayout(row);
        }
        QString origin = provenanceText(t) + QLatin1Char('.');
        if (m.eval_windows > 0) origin += QLatin1Char(' ') + tr("%1 windows of %2 tokens.").arg(fmt::count(m.eval_windows), fmt::count(m.eval_context));
        for (const std::string& note : m.notes) origin += QLatin1Char(' ') + QString::fromStdString(note);
        auto* text = new Label(origin, Type::kCaption, Ink::kMuted);
        text->setObjectName(QStringLiteral("inspectorOrigin"));
        text->setWordWrap(true);
        m_body->addWidget(text);
    }
    if (const auto engines = m_engines.constFind(id); engines != m_engines.constEnd()) addEngines(*engines);
    m_body->addStretch();

    const auto button = [this](const QString& objectName, const QString& text, const QString& icon) {
        QPushButton* b = makeButton(objectName, text, icon);
        m_foot->addWidget(b);
        return b;
    };
    if (t.status == TrialStatus::kFailed && !running) connect(button(QStringLiteral("inspectorRetry"), tr("Retry"), QStringLiteral("retry")), &QPushButton::clicked, this, [this, id] { emit retryRequested(id); });
    // A model that was imported is on disk already.
    const bool imported = t.candidate.starts_with("import:");
    if (done && !running && !imported) connect(button(QStringLiteral("inspectorExport"), tr("Export %1\u2026").arg(QString::fromStdString(t.candidate)), QStringLiteral("export")), &QPushButton::clicked, this, [this, id] { emit exportRequested(id); });
    if (done) connect(button(QStringLiteral("inspectorCompare"), tr("Compare (Space)"), {}), &QPushButton::clicked, this, [this, id] { emit compareToggled(id); });
    connect(button(QStringLiteral("inspectorCopy"), tr("Copy as command"), QStringLiteral("terminal")), &QPushButton::clicked, this, [this, id] { emit copyCommandRequested(id); });
}

void Inspector::showSeveral(const Trials& trials, const Judgement& judgement, const std::vector<std::size_t>& which) {
    m_body->addWidget(new Label(tr("Compare"), Type::kTitle));
    m_body->addWidget(new Label(tr("Differences are bold."), Type::kCaption, Ink::kMuted));
    // Two columns fit the card; more are stacked, one block a candidate.
    const bool columns = which.size() == 2;
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(space::kS);
    grid->setVerticalSpacing(6);
    const auto all = figures();
    int row = 0;
    const auto differs = [&](const Figure& f) {
        const QString first = f.text((*trials)[which.front()], judgement->trials[which.front()]);
        return std::any_of(which.begin() + 1, which.end(), [&](std::size_t i) { return f.text((*trials)[i], judgement->trials[i]) != first; });
    };
    const auto heading = [](const std::string& name) {
        auto* l = new NameLabel(Type::kBodyStrong, Ink::kAccent);
        l->setText(QString::fromStdString(name));
        return l;
    };
    if (columns) {
        for (std::size_t c = 0; c < which.size(); ++c) grid->addWidget(heading((*trials)[which[c]].candidate), row, static_cast<int>(c) + 1);
        ++row;
        for (const Figure& f : all) {
            grid->addWidget(new Label(f.name, Type::kCaption, Ink::kMuted), row, 0);
            for (std::size_t c = 0; c < which.size(); ++c)
                grid->addWidget(new Label(f.text((*trials)[which[c]], judgement->trials[which[c]]), differs(f) ? Type::kBodyStrong : Type::kBody, differs(f) ? Ink::kText : Ink::kMuted), row, static_cast<int>(c) + 1);
            ++row;
        }
        grid->setColumnStretch(1, 1);
        grid->setColumnStretch(2, 1);
    } else {
        for (std::size_t i : which) {
            grid->addWidget(heading((*trials)[i].candidate), row++, 0, 1, 4);
            int cell = 0;
            for (const Figure& f : all) {
                if (!differs(f)) continue;
                grid->addWidget(new Label(f.name, Type::kCaption, Ink::kMuted), row + cell / 2, cell % 2 * 2);
                grid->addWidget(new Label(f.text((*trials)[i], judgement->trials[i]), Type::kBodyStrong), row + cell / 2, cell % 2 * 2 + 1);
                ++cell;
            }
            row += (cell + 1) / 2;
        }
    }
    m_body->addLayout(grid);
    m_body->addStretch();
    auto* end = makeButton(QStringLiteral("inspectorEndCompare"), tr("End the comparison"), QStringLiteral("close"));
    connect(end, &QPushButton::clicked, this, [this, trials, which] {
        for (std::size_t i : which) emit compareToggled(QString::fromStdString((*trials)[i].id));
    });
    m_foot->addWidget(end);
}

}  // namespace tenpak::ui
