// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/size_card.h"

#include "app/format.h"
#include "ui/delta/funnel.h"
#include "ui/delta/range_bar.h"
#include "ui/theme/paint.h"
#include "ui/widgets/pill.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
using Phase = app::DeltaViewState::Phase;

constexpr int kHeadlineMs = 250;  // text changes at most four times a second

const QString kDot = QStringLiteral(" \u00B7 ");
const QString kApprox = QStringLiteral("\u2248\u00A0");

QString joined(std::initializer_list<QString> parts) {
    QStringList present;
    for (const QString& p : parts)
        if (!p.isEmpty()) present.append(p);
    return present.join(kDot);
}

bool running(Phase p) { return p == Phase::kEstimating || p == Phase::kCompressing || p == Phase::kOpening; }
}  // namespace

SizeCard::SizeCard(QWidget* parent)
    : Card(space::kL, parent), m_state(new Pill), m_truth(new Pill), m_size(new Label({}, Type::kDisplay)), m_saved(new Label({}, Type::kTitle, Ink::kMuted)), m_loss(new Label({}, Type::kCaption, Ink::kMuted)),
      m_bar(new RangeBar), m_funnel(new Funnel) {
    setObjectName(QStringLiteral("sizeCard"));
    m_state->setObjectName(QStringLiteral("sizeState"));
    m_truth->setObjectName(QStringLiteral("sizeTruth"));
    m_size->setObjectName(QStringLiteral("storedSize"));
    m_saved->setObjectName(QStringLiteral("savedText"));
    m_primary = makeButton(QStringLiteral("deltaPrimary"), tr("Compress to .tnpk\u2026"), QStringLiteral("export"), ButtonKind::kPrimary);
    m_rebuild = makeButton(QStringLiteral("deltaRebuild"), tr("Rebuild to\u2026"));
    m_adapter = makeButton(QStringLiteral("deltaAdapter"), tr("Export adapter\u2026"), QStringLiteral("export"));
    m_loss->setObjectName(QStringLiteral("lossText"));
    m_loss->setWordWrap(true);
    m_saved->setAlignment(Qt::AlignLeft | Qt::AlignBottom);
    m_saved->setContentsMargins(0, 0, 0, 6);
    // The line keeps its height before the first figure: nothing below it jumps.
    m_saved->setMinimumHeight(static_cast<int>(std::ceil(textHeight(typeFont(Type::kDisplay)))));

    auto* caption = makeRow(10);
    caption->addWidget(new Label(tr("Stored size of the fine-tune"), Type::kCaption, Ink::kMuted));
    caption->addWidget(m_state);
    caption->addWidget(m_truth);
    caption->addStretch();
    auto* headline = makeRow(14);
    headline->addWidget(m_size);
    headline->addWidget(m_saved);
    headline->addStretch();
    auto* left = makeColumn(2);
    left->addLayout(caption);
    left->addLayout(headline);
    left->addWidget(m_bar);
    left->addWidget(m_loss);
    auto* buttons = makeColumn(space::kM);
    buttons->addWidget(m_primary);
    buttons->addWidget(m_rebuild);
    buttons->addWidget(m_adapter);
    buttons->addStretch();
    auto* row = makeRow(space::kXl);
    row->addLayout(left, 1);
    row->addWidget(m_funnel, 0, Qt::AlignBottom);
    row->addLayout(buttons);
    box()->addLayout(row);

    m_headlineLater.setSingleShot(true);
    connect(&m_headlineLater, &QTimer::timeout, this, &SizeCard::showHeadline);
    connect(m_primary, &QPushButton::clicked, this, &SizeCard::triggerPrimary);
    connect(m_rebuild, &QPushButton::clicked, this, &SizeCard::rebuildRequested);
    connect(m_adapter, &QPushButton::clicked, this, &SizeCard::exportAdapterRequested);
}

void SizeCard::triggerPrimary() {
    if (!m_primary->isEnabled()) return;
    if (m_s.phase == Phase::kCompressing) emit stopRequested();
    else if (m_s.phase == Phase::kMeasured && !m_s.artifactPath.isEmpty()) emit showArtifactRequested(m_s.artifactPath);
    else emit compressRequested();
}

void SizeCard::setState(const app::DeltaViewState& state) {
    const bool samePhase = state.phase == m_s.phase && state.stale == m_s.stale;
    m_s = state;
    showBar();
    showButtons();
    m_funnel->setPoints(state.funnel);
    if (samePhase && running(state.phase)) scheduleHeadline();
    else showHeadline();
}

void SizeCard::scheduleHeadline() {
    if (!m_sinceHeadline.isValid() || m_sinceHeadline.elapsed() >= kHeadlineMs) showHeadline();
    else if (!m_headlineLater.isActive()) m_headlineLater.start(kHeadlineMs - static_cast<int>(m_sinceHeadline.elapsed()));
}

void SizeCard::showHeadline() {
    m_headlineLater.stop();
    m_sinceHeadline.start();
    showPills();
    const Ink ink = m_s.stale ? Ink::kMuted : Ink::kText;
    m_size->setInk(ink);
    const auto* e = m_s.estimate.get();
    if (m_s.phase == Phase::kMeasured) {
        const auto stored = static_cast<double>(m_s.storedBytes), raw = e ? static_cast<double>(e->raw_bytes) : 0.0;
        m_size->setText(fmt::bytes(stored));
        m_saved->setText(raw > 0 ? tr("%1 smaller than %2").arg(fmt::percent((1 - stored / raw) * 100), fmt::bytes(raw)) : QString());
    } else if (e != nullptr && m_s.phase != Phase::kMisfit && (e->bytes_read > 0 || e->finished)) {
        const auto raw = static_cast<double>(e->raw_bytes);
        m_size->setText(fmt::estimatedBytes(e->estimated_bytes, e->low, e->high));
        const bool otherMode = m_s.phase == Phase::kCompressing && m_s.lossy;
        const double half = raw > 0 ? (e->high - e->low) / 2 / raw * 100 : 0;
        m_saved->setText(raw > 0 ? tr("%1 smaller than %2").arg(kApprox + fmt::percent((1 - e->estimated_bytes / raw) * 100, half < .25 ? 1 : 0), fmt::bytes(raw)) : QString());
        // What is on its way is another size, which nobody has estimated.
        if (otherMode) m_saved->setText(tr("lossless; %1 is being measured").arg(m_s.lossyMode));
    } else {
        m_size->setText({});
        m_saved->setText(m_s.phase == Phase::kOpening ? tr("Reading headers\u2026") : tr("Nothing to estimate yet"));
    }
    m_size->setVisible(!m_size->text().isEmpty());
    const bool lossy = m_s.phase == Phase::kMeasured && m_s.lossy;
    if (lossy) {
        const auto share = [](double v) -> QString { return fmt::significant(v * 100, 2) + QStringLiteral("\u202F%"); };
        m_loss->setText(joined({m_s.lossyMode, tr("error %1 of the weights, %2 of the change (measured here)").arg(share(m_s.relativeError), share(m_s.changeError)), m_s.perplexity}));
    }
    const bool nothingLost = m_s.phase == Phase::kMeasured && !m_s.lossy && !m_s.lossyMode.isEmpty();
    if (nothingLost) m_loss->setText(tr("%1: nothing had to be lost, the lossless way is the shorter one here").arg(m_s.lossyMode));
    m_loss->setVisible(lossy || nothingLost);
}

void SizeCard::showPills() {
    using app::Tone;
    const QString hourglass = QStringLiteral("hourglass");
    const auto* e = m_s.estimate.get();
    const double read = e && e->bytes_total > 0 ? static_cast<double>(e->bytes_read) / static_cast<double>(e->bytes_total) : 0;
    const QString left = m_s.secondsLeft >= 0 ? fmt::timeLeft(m_s.secondsLeft) : QString();
    switch (m_s.phase) {
        case Phase::kNoPair: m_state->set(Tone::kNeutral, QStringLiteral("info"), {}); break;
        case Phase::kOpening: m_state->set(Tone::kInfo, hourglass, tr("Opening")); break;
        case Phase::kMisfit: m_state->set(Tone::kError, QStringLiteral("cross"), tr("No estimate")); break;
        case Phase::kEstimating: m_state->set(Tone::kInfo, hourglass, joined({tr("Estimating"), tr("%1 of bytes read").arg(fmt::progressPercent(read)), left})); break;
        case Phase::kEstimated: m_state->set(Tone::kNeutral, QStringLiteral("info"), joined({tr("Estimated"), tr("%1 of bytes read").arg(fmt::progressPercent(read))})); break;
        case Phase::kCompressing:
            m_state->set(Tone::kInfo, hourglass, joined({m_s.step.isEmpty() ? tr("Compressing") : m_s.step, fmt::progressPercent(m_s.fractionWritten), m_s.bytesPerSecond > 0 ? fmt::bytesPerSecond(m_s.bytesPerSecond) : QString(), left}));
            break;
        case Phase::kMeasured: m_state->set(Tone::kNeutral, QStringLiteral("check"), tr("Measured")); break;
        case Phase::kStopped: m_state->set(Tone::kNeutral, QStringLiteral("stop"), tr("Stopped")); break;
        case Phase::kFailed: m_state->set(Tone::kError, QStringLiteral("cross"), tr("Failed")); break;
    }
    if (m_s.phase == Phase::kMeasured && m_s.lossy)
        m_truth->set(Tone::kWarn, QStringLiteral("lossy"), tr("Lossy: largest weight error %1").arg(fmt::smallError(m_s.maxAbsError)));
    else if (m_s.phase == Phase::kMeasured && m_s.filesCompared > 0 && m_s.filesEqual == m_s.filesCompared)
        m_truth->set(Tone::kOk, QStringLiteral("equal"), tr("Lossless, rebuilt and compared here: %1 of %n file(s) have the same SHA-256", nullptr, m_s.filesCompared).arg(m_s.filesEqual));
    else if (m_s.phase == Phase::kMeasured && m_s.filesCompared > 0)
        m_truth->set(Tone::kError, QStringLiteral("cross"), tr("Not lossless: %1 of %n file(s) have the same SHA-256", nullptr, m_s.filesCompared).arg(m_s.filesEqual));
    else m_truth->set(Tone::kNeutral, QStringLiteral("equal"), {});
}

void SizeCard::showBar() {
    const auto* e = m_s.estimate.get();
    RangeBarState bar;
    if (e != nullptr) {
        bar.raw = static_cast<double>(e->raw_bytes);
        bar.known = m_s.phase != Phase::kMisfit && (e->bytes_read > 0 || e->finished || m_s.phase == Phase::kMeasured);
        bar.estimated = e->estimated_bytes;
        bar.low = e->low;
        bar.high = e->high;
    }
    if (m_s.phase == Phase::kMeasured) {
        bar.estimated = bar.low = bar.high = static_cast<double>(m_s.storedBytes);
        bar.estimateBefore = m_s.estimateBefore;
    }
    if (m_s.phase == Phase::kCompressing && m_s.step.isEmpty()) bar.written = static_cast<double>(m_s.bytesWritten);
    m_bar->setState(bar);
    m_bar->setVisible(bar.raw > 0);
    // The funnel is of the lossless size.
    m_funnel->setVisible(!m_s.funnel.isEmpty() && !m_s.lossy);
}

void SizeCard::showButtons() {
    const bool compressing = m_s.phase == Phase::kCompressing, measured = m_s.phase == Phase::kMeasured && !m_s.artifactPath.isEmpty();
    m_primary->setText(compressing ? tr("Stop") : measured ? tr("Show artifact") : tr("Compress to .tnpk\u2026"));
    setButtonIcon(m_primary, compressing ? QStringLiteral("stop") : measured ? QStringLiteral("artifact") : QStringLiteral("export"));
    setButtonPrimary(m_primary, !compressing);
    m_primary->setToolTip(compressing ? tr("Stop (Ctrl+.)") : tr("Ctrl+Return"));
    m_primary->setEnabled(m_s.phase != Phase::kNoPair && m_s.phase != Phase::kOpening && m_s.phase != Phase::kMisfit);
    m_rebuild->setEnabled(!compressing && !m_s.artifactPath.isEmpty());
    m_adapter->setVisible(measured && !m_s.lossy && m_s.adapterRank > 0);
    m_adapter->setToolTip(tr("Write the recovered adapter (%n tensor(s), rank up to %1) as a PEFT folder", nullptr, m_s.adapterTensors).arg(m_s.adapterRank));
    m_rebuild->setToolTip(m_rebuild->isEnabled() ? tr("Write the fine-tune again from base and artifact") : tr("Compress first: a rebuild needs the artifact"));
}

}  // namespace tenpak::ui
