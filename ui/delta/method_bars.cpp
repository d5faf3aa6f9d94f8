// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/method_bars.h"

#include <QPainter>

#include "app/format.h"
#include "app/tensor_model.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
constexpr double kTop = 46, kRow = 28;
}  // namespace

MethodBars::MethodBars(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("methodBars"));
    setFixedWidth(size::kMethods);
    setAccessibleName(tr("Stored bytes by method"));
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

QSize MethodBars::sizeHint() const { return {size::kMethods, static_cast<int>(kTop + kRow * static_cast<double>(std::max<std::size_t>(4, m_rows.size())))}; }

void MethodBars::setEstimate(const delta::EstimateSnapshot* estimate) {
    std::vector<Row> rows;
    // Known methods keep their places while an estimate refines.
    for (const char* method : {"difference", "standalone", "sparse", "lowrank", "int8", "int4", "bit1", "identical", "patch", "zstd", "raw"}) rows.push_back({method});
    if (estimate)
        for (const auto& t : estimate->tensors) {
            if (t.method.empty()) continue;
            auto row = std::find_if(rows.begin(), rows.end(), [&t](const Row& r) { return r.method == t.method; });
            if (row == rows.end()) row = rows.insert(rows.end(), Row{t.method});
            ++row->tensors;
            row->raw += static_cast<double>(t.raw_bytes);
            row->stored += t.estimated_bytes;
            row->complete = row->complete && t.complete;
        }
    std::erase_if(rows, [](const Row& r) { return r.tensors == 0; });
    m_rows = std::move(rows);
    updateGeometry();
    update();
}

void MethodBars::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption), body = typeFont(Type::kBody);
    p.setPen(t.text2);
    drawText(p, QRectF(0, 0, width(), 16), Qt::AlignLeft | Qt::AlignVCenter, tr("Stored bytes by method"), caption);

    double all = 0;
    for (const Row& r : m_rows) all += r.stored;
    const QRectF bar(0, 22, width(), 12);
    QPainterPath clip;
    clip.addRoundedRect(bar, 4, 4);
    p.save();
    p.setClipPath(clip);
    p.fillRect(bar, t.track);
    double x = 0;
    for (const Row& r : m_rows) {
        const double w = all > 0 ? r.stored / all * bar.width() : 0;
        p.fillRect(QRectF(x, bar.top(), std::max(0.0, w - 1), bar.height()), methodColor(t, QString::fromStdString(r.method)));
        x += w;
    }
    p.restore();

    double y = kTop;
    for (const Row& r : m_rows) {
        const QString method = QString::fromStdString(r.method);
        const QColor color = methodColor(t, method);
        const QRectF sign(0, y + 3, 18, 18);
        drawBox(p, sign, color, {}, 4);
        p.setPen(inkOn(color));
        drawText(p, sign, Qt::AlignCenter, methodSign(method), typeFont(Type::kBodyStrong));
        const QString figures = fmt::bytes(r.raw, 2) + QStringLiteral(" \u2192 ") + (r.complete ? QString() : QStringLiteral("\u2248\u00A0")) + fmt::bytes(r.stored, r.complete ? 3 : 2);
        p.setPen(t.text);
        drawText(p, QRectF(26, y, 90, 24), Qt::AlignVCenter | Qt::AlignLeft, app::methodText(r.method), body);
        p.setPen(t.text2);
        drawText(p, QRectF(98, y, 36, 24), Qt::AlignVCenter | Qt::AlignRight, QString::number(r.tensors), body);
        drawText(p, QRectF(134, y, width() - 134.0, 24), Qt::AlignVCenter | Qt::AlignRight, figures, body);
        y += kRow;
    }
}

}  // namespace tenpak::ui
