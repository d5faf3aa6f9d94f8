// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/artifacts/artifact_list.h"

#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"
#include "ui/widgets/pill.h"

namespace tenpak::ui {
namespace {

constexpr int kRowHeight = 56;

class RowDelegate : public QStyledItemDelegate {
   public:
    using QStyledItemDelegate::QStyledItemDelegate;
    QSize sizeHint(const QStyleOptionViewItem&, const QModelIndex&) const override { return {200, kRowHeight}; }
    void paint(QPainter* p, const QStyleOptionViewItem& o, const QModelIndex& index) const override {
        const auto& row = static_cast<const ArtifactListModel*>(index.model())->item(index.row());
        const Tokens& t = theme();
        const QRectF r(o.rect);
        const bool selected = o.state & QStyle::State_Selected;
        if (selected) p->fillRect(r, t.accentTint);
        else if (o.state & QStyle::State_MouseOver) p->fillRect(r, mix(t.surface, t.sunken, .7));
        p->fillRect(QRectF(r.left(), r.bottom(), r.width(), 1), t.border);
        const TrustPill pill = trustPill(row.trust, row.signer);
        const double w = std::min(Pill::widthOf(pill.text), r.width() * .6);
        Pill::paint(*p, QRectF(r.right() - space::kM - w, r.center().y() - size::kPill / 2.0, w, size::kPill), pill.tone, pill.icon, pill.text);
        const double room = r.width() - space::kL - space::kM - w - space::kS;
        p->setPen(t.text);
        drawElided(*p, QRectF(r.left() + space::kL, r.top() + 9, room, 18), Qt::AlignLeft | Qt::AlignVCenter, row.name, typeFont(selected ? Type::kBodyStrong : Type::kBody));
        p->setPen(t.text2);
        drawElided(*p, QRectF(r.left() + space::kL, r.top() + 29, room, 16), Qt::AlignLeft | Qt::AlignVCenter, row.facts, typeFont(Type::kCaption), Qt::ElideRight);
    }
};

}  // namespace

TrustPill trustPill(app::Trust trust, const QString& signer) {
    using app::Tone;
    using app::Trust;
    switch (trust) {
        case Trust::kNotChecked: return {Tone::kNeutral, QStringLiteral("shield"), ArtifactList::tr("Not checked")};
        case Trust::kDamaged: return {Tone::kError, QStringLiteral("cross"), ArtifactList::tr("Damaged")};
        case Trust::kWrongSignature: return {Tone::kError, QStringLiteral("cross"), ArtifactList::tr("Wrong signature")};
        case Trust::kUnknownKey: return {Tone::kWarn, QStringLiteral("key"), ArtifactList::tr("Unknown key")};
        case Trust::kSharedSecret: return {Tone::kNeutral, QStringLiteral("key"), ArtifactList::tr("Shared secret")};
        case Trust::kUnsigned: return {Tone::kNeutral, QStringLiteral("shield"), ArtifactList::tr("Unsigned")};
        case Trust::kSigned: return {Tone::kOk, QStringLiteral("shieldcheck"), ArtifactList::tr("Signed by %1").arg(signer)};
    }
    return {Tone::kNeutral, QStringLiteral("shield"), ArtifactList::tr("Not checked")};
}

void ArtifactListModel::setItems(const QList<app::ArtifactRow>& items) {
    const bool same = items.size() == m_items.size() && std::equal(items.begin(), items.end(), m_items.begin(), [](const auto& a, const auto& b) { return a.path == b.path; });
    if (same) {
        m_items = items;
        if (!items.isEmpty()) emit dataChanged(index(0), index(rowCount() - 1));
        return;
    }
    beginResetModel();
    m_items = items;
    endResetModel();
}

int ArtifactListModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(m_items.size()); }

QVariant ArtifactListModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
    const app::ArtifactRow& row = m_items.at(index.row());
    if (role == Qt::DisplayRole) return row.name;
    if (role == Qt::ToolTipRole) return row.path;
    if (role == Qt::AccessibleTextRole) return QString(row.name + QStringLiteral(", ") + row.facts + QStringLiteral(", ") + trustPill(row.trust, row.signer).text);
    return {};
}

ArtifactList::ArtifactList(QWidget* parent) : QListView(parent), m_model(new ArtifactListModel(this)) {
    setObjectName(QStringLiteral("artifactList"));
    setAccessibleName(tr("Artifacts"));
    viewport()->setAccessibleName(tr("Artifacts"));
    setFrameShape(NoFrame);
    setModel(m_model);
    setItemDelegate(new RowDelegate(this));
    setVerticalScrollMode(ScrollPerPixel);
    setUniformItemSizes(true);
    setMouseTracking(true);
    connect(selectionModel(), &QItemSelectionModel::currentChanged, this, [this](const QModelIndex& index) {
        if (!m_setting && index.isValid()) emit currentChosen(index.row());
    });
    connect(&Theme::instance(), &Theme::changed, viewport(), qOverload<>(&QWidget::update));
}

void ArtifactList::setItems(const QList<app::ArtifactRow>& items, int current) {
    m_setting = true;
    m_model->setItems(items);
    if (current >= 0 && current < items.size()) {
        if (currentIndex().row() != current) setCurrentIndex(m_model->index(current));
    } else {
        setCurrentIndex({});
    }
    m_setting = false;
}

void ArtifactList::paintEvent(QPaintEvent* event) {
    QListView::paintEvent(event);
    if (!showsFocus(this)) return;
    QPainter p(viewport());
    drawFocusRing(p, currentIndex().isValid() ? QRectF(visualRect(currentIndex())) : QRectF(viewport()->rect()), 4);
}

}  // namespace tenpak::ui
