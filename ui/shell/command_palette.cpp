// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/command_palette.h"

#include <QAction>
#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QPainter>
#include <QPointer>
#include <QStyledItemDelegate>
#include <QTimer>
#include <QVBoxLayout>

#include "app/action_registry.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {

constexpr int kKeyRole = Qt::UserRole + 1;

class CommandDelegate : public QStyledItemDelegate {
   public:
    using QStyledItemDelegate::QStyledItemDelegate;
    QSize sizeHint(const QStyleOptionViewItem&, const QModelIndex&) const override { return {200, size::kRow}; }
    void paint(QPainter* p, const QStyleOptionViewItem& o, const QModelIndex& index) const override {
        const bool enabled = index.flags() & Qt::ItemIsEnabled;
        if (o.state & QStyle::State_Selected) drawBox(*p, QRectF(o.rect), theme().accentTint, {}, 4);
        const QRectF r = QRectF(o.rect).adjusted(10, 0, -10, 0);
        p->setPen(enabled ? theme().text : theme().disabled);
        drawText(*p, r, Qt::AlignLeft | Qt::AlignVCenter, index.data().toString(), typeFont(Type::kBody));
        p->setPen(enabled ? theme().text2 : theme().disabled);
        drawText(*p, r, Qt::AlignRight | Qt::AlignVCenter, index.data(kKeyRole).toString(), typeFont(Type::kCaption));
    }
};

}  // namespace

CommandPalette::CommandPalette(const app::ActionRegistry& actions, QWidget* parent) : QFrame(parent, Qt::Popup), m_registry(actions), m_words(new QLineEdit), m_list(new QListWidget) {
    setObjectName(QStringLiteral("commandPalette"));
    setAccessibleName(tr("Commands"));
    setAttribute(Qt::WA_DeleteOnClose);
    resize(560, 400);
    m_words->setObjectName(QStringLiteral("paletteWords"));
    m_words->setAccessibleName(tr("Find a command"));
    m_words->setPlaceholderText(tr("Find a command"));
    m_words->setTextMargins(7, 0, 7, 0);
    m_words->installEventFilter(this);
    m_list->setObjectName(QStringLiteral("paletteList"));
    m_list->setAccessibleName(tr("Commands"));
    m_list->setFrameShape(NoFrame);
    m_list->setItemDelegate(new CommandDelegate(m_list));
    m_list->setFocusPolicy(Qt::NoFocus);
    m_list->viewport()->setAutoFillBackground(false);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(12, 12, 12, 8);
    column->addWidget(m_words);
    column->addWidget(m_list, 1);
    setFocusProxy(m_words);
    connect(m_words, &QLineEdit::textChanged, this, &CommandPalette::search);
    connect(m_list, &QListWidget::itemClicked, this, [this] { run(); });
    search({});
}

void CommandPalette::openOver(const QWidget* window) {
    move(window->mapToGlobal(QPoint((window->width() - width()) / 2, 96)));
    show();
    m_words->setFocus(Qt::PopupFocusReason);
}

void CommandPalette::search(const QString& words) {
    m_hits = m_registry.find(words);
    m_list->clear();
    for (const QAction* a : m_hits) {
        auto* item = new QListWidgetItem(QString(a->text()).remove(QLatin1Char('&')), m_list);
        item->setData(kKeyRole, a->shortcut().toString(QKeySequence::NativeText));
        if (!a->isEnabled()) item->setFlags(item->flags() & ~Qt::ItemIsEnabled);
    }
    for (int i = 0; i < m_list->count(); ++i)
        if (m_list->item(i)->flags() & Qt::ItemIsEnabled) {
            m_list->setCurrentRow(i);
            break;
        }
}

void CommandPalette::run() {
    const int row = m_list->currentRow();
    if (row < 0 || row >= m_hits.size() || !m_hits.at(row)->isEnabled()) return;
    // The window must be in front again before the command looks at the focus.
    const QPointer<QAction> action = m_hits.at(row);
    QTimer::singleShot(0, action, [action] {
        if (action) action->trigger();
    });
    close();
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event) {
    if (event->type() == QEvent::KeyPress) {
        const auto* key = static_cast<QKeyEvent*>(event);
        const int row = m_list->currentRow();
        if (key->key() == Qt::Key_Down || key->key() == Qt::Key_Up) {
            const int step = key->key() == Qt::Key_Down ? 1 : -1;
            for (int i = row + step; i >= 0 && i < m_list->count(); i += step)
                if (m_list->item(i)->flags() & Qt::ItemIsEnabled) {
                    m_list->setCurrentRow(i);
                    break;
                }
            return true;
        }
        if (key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter) {
            run();
            return true;
        }
        if (key->key() == Qt::Key_Escape) {
            close();
            return true;
        }
    }
    return QFrame::eventFilter(watched, event);
}

void CommandPalette::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.fillRect(rect(), theme().card);
    drawBox(p, rect(), theme().card, mix(theme().border, theme().borderStrong, .35), 0);
}

}  // namespace tenpak::ui
