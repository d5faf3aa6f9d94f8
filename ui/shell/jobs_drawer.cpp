// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/jobs_drawer.h"
#include "ui/widgets/scroll.h"

#include <QProgressBar>

namespace tenpak::ui {
namespace {
using State = app::JobRow::State;

struct StateLook {
    QString icon;
    Ink ink;
};
StateLook lookOf(State state) {
    switch (state) {
        case State::kQueued: return {QStringLiteral("clock"), Ink::kMuted};
        case State::kRunning: return {QStringLiteral("play"), Ink::kAccent};
        case State::kPaused: return {QStringLiteral("pause"), Ink::kMuted};
        case State::kStopping: return {QStringLiteral("hourglass"), Ink::kMuted};
        case State::kDone: return {QStringLiteral("check"), Ink::kOk};
        case State::kFailed: return {QStringLiteral("warn"), Ink::kError};
        case State::kStopped: return {QStringLiteral("stop"), Ink::kMuted};
    }
    return {QStringLiteral("clock"), Ink::kMuted};
}
}  // namespace

JobRowWidget::JobRowWidget(const QString& id, QWidget* parent)
    : QWidget(parent), m_icon(new IconLabel(QStringLiteral("clock"), 18, Ink::kMuted)), m_title(new NameLabel), m_phase(new NameLabel(Type::kCaption, Ink::kMuted)),
      m_bar(new QProgressBar), m_time(new Label({}, Type::kCaption, Ink::kMuted)), m_more(new QWidget), m_error(new Label({}, Type::kBody)),
      m_hint(new Label({}, Type::kCaption, Ink::kMuted)), m_log(new Label({}, Type::kCode, Ink::kMuted)) {
    setObjectName(QStringLiteral("job.") + id);
    const auto button = [&](const char* name, const QString& text, const QString& icon, ButtonKind kind = ButtonKind::kNormal) {
        QPushButton* b = makeButton(QStringLiteral("job.%1.%2").arg(id, QLatin1String(name)), text, icon, kind);
        b->setFixedHeight(size::kHitTarget);
        return b;
    };
    m_pause = button("pause", tr("Pause"), QStringLiteral("pause"));
    m_stop = button("stop", tr("Stop"), QStringLiteral("stop"));
    m_retry = button("retry", tr("Retry"), QStringLiteral("retry"));
    m_show = button("show", tr("Show"), {});
    m_details = button("details", tr("Details"), QStringLiteral("chevdown"), ButtonKind::kQuiet);
    m_details->setCheckable(true);
    m_bar->setRange(0, 1000);
    m_bar->setTextVisible(false);
    m_bar->setFixedWidth(160);
    m_title->setFixedWidth(250);
    m_phase->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    m_time->setFixedWidth(120);
    m_time->setAlignment(Qt::AlignRight | Qt::AlignVCenter);

    auto* row = makeRow(space::kM);
    row->setContentsMargins(space::kL, 3, 10, 3);
    row->addWidget(m_icon);
    row->addWidget(m_title);
    row->addWidget(m_phase, 1);
    row->addWidget(m_bar);
    row->addWidget(m_time);
    for (QPushButton* b : {m_pause, m_stop, m_retry, m_show, m_details}) row->addWidget(b);

    auto* copy = button("copy", tr("Copy details"), QStringLiteral("copy"));
    for (Label* l : {m_error, m_hint, m_log}) {
        l->setWordWrap(true);
        l->setTextInteractionFlags(Qt::TextSelectableByMouse);
    }
    auto* texts = makeColumn(4);
    for (Label* l : {m_error, m_hint, m_log}) texts->addWidget(l);
    auto* more = new QHBoxLayout(m_more);
    more->setContentsMargins(space::kL + 30, 0, 10, space::kS);
    more->addLayout(texts, 1);
    more->addWidget(copy, 0, Qt::AlignTop);
    m_more->hide();
    auto* all = new QVBoxLayout(this);
    all->setContentsMargins(0, 0, 0, 0);
    all->setSpacing(0);
    all->addLayout(row);
    all->addWidget(m_more);

    connect(m_pause, &QPushButton::clicked, this, [this] {
        if (m_row.state == State::kPaused) emit resumeRequested(m_row.id);
        else emit pauseRequested(m_row.id);
    });
    connect(m_stop, &QPushButton::clicked, this, [this] { emit stopRequested(m_row.id); });
    connect(m_retry, &QPushButton::clicked, this, [this] { emit retryRequested(m_row.id); });
    connect(m_show, &QPushButton::clicked, this, [this] { emit showRequested(m_row.id); });
    connect(m_details, &QPushButton::toggled, this, [this](bool on) {
        m_more->setVisible(on);
        setButtonIcon(m_details, on ? QStringLiteral("chevup") : QStringLiteral("chevdown"));
        emit detailsToggled();
    });
    connect(copy, &QPushButton::clicked, this, [this] {
        emit copyRequested(QStringList{m_row.title, m_row.error, m_row.hint, m_row.log}.join(QLatin1Char('\n')));
    });
}

void JobRowWidget::setRow(const app::JobRow& row) {
    m_row = row;
    const StateLook look = lookOf(row.state);
    m_icon->set(look.icon, look.ink);
    m_title->setText(row.title);
    m_phase->setText(row.state == State::kStopping ? tr("Stopping\u2026") : row.phase);
    m_bar->setVisible(row.active() && row.fraction >= 0);
    m_bar->setValue(static_cast<int>(std::clamp(row.fraction, 0.0, 1.0) * 1000));
    m_bar->setAccessibleName(tr("Progress of %1").arg(row.title));
    m_time->setText(row.time);
    m_pause->setText(row.state == State::kPaused ? tr("Go on") : tr("Pause"));
    setButtonIcon(m_pause, row.state == State::kPaused ? QStringLiteral("play") : QStringLiteral("pause"));
    m_pause->setVisible(row.canPause);
    m_stop->setVisible(row.canStop);
    m_stop->setEnabled(row.state != State::kStopping);
    m_retry->setVisible(row.canRetry);
    m_show->setVisible(row.canShow);
    const bool failed = row.state == State::kFailed;
    m_details->setVisible(failed);
    if (!failed) m_details->setChecked(false);
    m_error->setText(row.error);
    m_hint->setText(row.hint);
    m_log->setText(row.log);
    m_error->setVisible(!row.error.isEmpty());
    m_hint->setVisible(!row.hint.isEmpty());
    m_log->setVisible(!row.log.isEmpty());
    setAccessibleName(row.title + QStringLiteral(", ") + m_phase->text() + QStringLiteral(", ") + row.time);
}

JobsDrawer::JobsDrawer(QWidget* parent) : Card(0, parent), m_list(new QVBoxLayout), m_none(new Label(tr("No jobs in this session."), Type::kBody, Ink::kMuted)) {
    setObjectName(QStringLiteral("jobsDrawer"));
    setAccessibleName(tr("Jobs"));
    m_clear = makeButton(QStringLiteral("jobsClear"), tr("Clear finished"), QStringLiteral("trash"), ButtonKind::kQuiet);
    m_clear->setFixedHeight(size::kHitTarget);
    auto* close = makeIconButton(QStringLiteral("jobsClose"), QStringLiteral("chevdown"), tr("Hide jobs (Ctrl+J)"));
    auto* head = makeRow();
    head->setContentsMargins(space::kL, 6, space::kS, 2);
    head->addWidget(new Label(tr("Jobs"), Type::kTitle));
    head->addStretch();
    head->addWidget(m_clear);
    head->addWidget(close);
    auto* inner = new QWidget;
    m_inner = inner;
    m_list->setContentsMargins(0, 0, 0, 6);
    m_list->setSpacing(0);
    m_none->setContentsMargins(space::kL, 4, 0, 4);
    m_list->addWidget(m_none);
    m_list->addStretch();
    inner->setLayout(m_list);
    auto* scroll = makeScroll(QStringLiteral("jobsScroll"), inner, ScrollGround::kCard);
    box()->setContentsMargins(1, 1, 1, 1);
    box()->setSpacing(0);
    box()->addLayout(head);
    box()->addWidget(scroll, 1);
    connect(close, &QPushButton::clicked, this, &JobsDrawer::closeRequested);
    connect(m_clear, &QPushButton::clicked, this, &JobsDrawer::clearRequested);
}

void JobsDrawer::setJobs(const QList<app::JobRow>& jobs) {
    QHash<QString, JobRowWidget*> keep;
    bool finished = false;
    int at = 1;
    for (const app::JobRow& job : jobs) {
        JobRowWidget* row = m_rows.take(job.id);
        if (row == nullptr) {
            row = new JobRowWidget(job.id);
            connect(row, &JobRowWidget::pauseRequested, this, &JobsDrawer::pauseRequested);
            connect(row, &JobRowWidget::resumeRequested, this, &JobsDrawer::resumeRequested);
            connect(row, &JobRowWidget::stopRequested, this, &JobsDrawer::stopRequested);
            connect(row, &JobRowWidget::retryRequested, this, &JobsDrawer::retryRequested);
            connect(row, &JobRowWidget::showRequested, this, &JobsDrawer::showRequested);
            connect(row, &JobRowWidget::copyRequested, this, &JobsDrawer::copyRequested);
            connect(row, &JobRowWidget::detailsToggled, this, &JobsDrawer::fitHeight);
        }
        row->setRow(job);
        if (m_list->indexOf(row) != at) m_list->insertWidget(at, row);
        ++at;
        keep.insert(job.id, row);
        finished = finished || !job.active();
    }
    for (JobRowWidget* gone : m_rows) {
        gone->hide();
        gone->deleteLater();
    }
    m_rows = keep;
    m_none->setVisible(jobs.isEmpty());
    m_clear->setEnabled(finished);
    fitHeight();
}

void JobsDrawer::fitHeight() {
    m_list->activate();
    setMinimumHeight(std::clamp(m_inner->sizeHint().height() + 42, 112, 216));
}

}  // namespace tenpak::ui
