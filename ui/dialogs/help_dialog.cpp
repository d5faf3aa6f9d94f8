// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/help_dialog.h"

#include <QTextBrowser>

#include "ui/widgets/basics.h"

namespace tenpak::ui {
namespace {

QString contents() {
    return HelpDialog::tr(
        "<h3>Delta</h3><p>Drop a base and a fine-tune of it. The size of the difference is estimated at once by reading random blocks: "
        "the number with ≈ is a guess, the range beside it holds the real size in 95 of 100 cases. <b>Compress</b> stores the fine-tune "
        "as its difference; with the base it rebuilds every file byte for byte. A merged LoRA adapter is recovered and stored as its factors "
        "(low rank), and can be exported as a PEFT folder. The modes INT8, INT4, 1 bit and low rank are lossy: smaller, with the error that "
        "they make measured and shown.</p>"
        "<p><b>Find base…</b> compares a fine-tune with the models of your folders and says which it was made from. <b>Archive folder…</b> "
        "stores all fine-tunes of a folder as deltas of their bases; what it removes, Undo puts back.</p>"
        "<h3>Sweep</h3><p>Each candidate is quantized, run and timed in a process of its own on this machine. Limits only filter what was "
        "measured: move them as you like, nothing runs again. The cheapest candidate that passes all limits wins.</p>"
        "<h3>Artifacts</h3><p>Four questions for each .tnpk: is it intact, who signed it, is it lossless, does it need a base. A shared "
        "secret (HMAC) proves nobody's identity.</p>");
}

QString keys(const app::ActionRegistry& actions) {
    QString s = QStringLiteral("<table cellpadding='4'>");
    for (const QAction* a : actions.actions()) {
        if (a->shortcuts().isEmpty() || !a->isVisible()) continue;
        s += QStringLiteral("<tr><td><b>%1</b></td><td>%2</td></tr>").arg(QKeySequence::listToString(a->shortcuts(), QKeySequence::NativeText).toHtmlEscaped(), a->text().toHtmlEscaped());
    }
    s += QStringLiteral("</table>");
    return s + HelpDialog::tr(
                   "<p>In the chart: arrows go to the nearest point that way, Home and End to best perplexity and fastest, Space compares, "
                   "Enter opens the inspector. In the layer map: arrows, Enter filters the table, Esc clears.</p>");
}

QString about() {
    return HelpDialog::tr(
               "<h3>TenPak Studio %1</h3><p>Deltas, quantization and signed artifacts of language models.</p>"
               "<p>Studio: GPL-3.0-or-later. Engine and command line: Apache-2.0.</p>"
               "<p>Every number shown was measured here, or says that it was estimated, projected or recorded elsewhere.</p>")
        .arg(QStringLiteral(TENPAK_VERSION));
}

}  // namespace

HelpDialog::HelpDialog(HelpTopic topic, const app::ActionRegistry& actions, QWidget* parent) : QDialog(parent) {
    setObjectName(QStringLiteral("helpDialog"));
    setWindowTitle(topic == HelpTopic::kKeys ? tr("Keyboard") : topic == HelpTopic::kAbout ? tr("About TenPak Studio") : tr("Help"));
    resize(560, topic == HelpTopic::kAbout ? 260 : 520);
    auto* text = new QTextBrowser;
    text->setObjectName(QStringLiteral("helpText"));
    text->setAccessibleName(windowTitle());
    text->setFrameShape(QFrame::NoFrame);
    text->setHtml(topic == HelpTopic::kKeys ? keys(actions) : topic == HelpTopic::kAbout ? about() : contents());
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(space::kL, space::kL, space::kL, space::kL);
    column->addWidget(text, 1);
    QPushButton* close = makeButton(QStringLiteral("helpClose"), tr("Close"), {}, ButtonKind::kPrimary);
    connect(close, &QPushButton::clicked, this, &QDialog::accept);
    auto* row = makeRow();
    row->addStretch();
    row->addWidget(close);
    column->addLayout(row);
}

}  // namespace tenpak::ui
