// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/tensor_model.h"

#include <cmath>

#include "app/format.h"

namespace tenpak::app {
namespace {

const QString kApprox = QStringLiteral("\u2248\u00A0");

double elements(const delta::TensorEstimate& t) { return static_cast<double>(t.raw_bytes) * 8 / dtype_bits(t.dtype); }
double bits(const delta::TensorEstimate& t) { return elements(t) > 0 ? t.estimated_bytes * 8 / elements(t) : 0; }
bool unread(const delta::TensorEstimate& t) { return t.sampled_fraction <= 0 && !t.complete; }
bool numeric(int column) {
    return column == TensorColumn::kChanged || column == TensorColumn::kBits || column == TensorColumn::kError || column == TensorColumn::kRaw || column == TensorColumn::kStored;
}
bool sameRows(const delta::EstimateSnapshot& a, const delta::EstimateSnapshot& b) {
    if (a.tensors.size() != b.tensors.size()) return false;
    for (std::size_t i = 0; i < a.tensors.size(); ++i)
        if (a.tensors[i].name != b.tensors[i].name) return false;
    return true;
}

}  // namespace

QString methodText(const std::string& method) {
    if (method.empty()) return TensorModel::tr("Not read yet");
    if (method == "identical") return TensorModel::tr("Identical");
    if (method == "difference") return TensorModel::tr("Difference");
    if (method == "sparse") return TensorModel::tr("Sparse");
    if (method == "lowrank") return TensorModel::tr("Low rank");
    if (method == "standalone") return TensorModel::tr("Standalone");
    if (method == "patch") return TensorModel::tr("Patch");
    if (method == "zstd") return TensorModel::tr("zstd");
    if (method == "raw") return TensorModel::tr("Raw");
    if (method == "int8") return TensorModel::tr("INT8");
    if (method == "int4") return TensorModel::tr("INT4");
    if (method == "bit1") return TensorModel::tr("1 bit");
    return QString::fromStdString(method);
}

QString methodInSentence(const std::string& method) {
    QString s = methodText(method);
    // "INT8" stays: only a word's first letter is made small.
    if (s.size() > 1 && s[0].isUpper() && s[1].isLower()) s[0] = s[0].toLower();
    return s;
}

QString methodText(const std::string& method, std::uint32_t rank) {
    return rank > 0 && method == "lowrank" ? TensorModel::tr("%1, rank %2").arg(methodText(method), QString::number(rank)) : methodText(method);
}

QString methodHint(const std::string& method) {
    if (method == "identical") return TensorModel::tr("Equal to the base: nothing is stored.");
    if (method == "difference") return TensorModel::tr("Stored as the difference from the base's weights.");
    if (method == "sparse") return TensorModel::tr("Few weights differ from the base: their places and differences are stored.");
    if (method == "lowrank") return TensorModel::tr("The change is a merged adapter: its two factors are stored, and what they leave over.");
    if (method == "standalone") return TensorModel::tr("Stored without the base: it does not help here.");
    if (method == "patch") return TensorModel::tr("Stored as what differs from the base's file of the same name.");
    if (method == "zstd") return TensorModel::tr("Compressed as plain bytes.");
    if (method == "raw") return TensorModel::tr("Stored as it is: it cannot be made smaller.");
    if (method == "int8") return TensorModel::tr("Lossy: the largest changes are stored in 8 bits, small ones are dropped.");
    if (method == "int4") return TensorModel::tr("Lossy: the changes are stored in 4 bits, with a scale for each group.");
    if (method == "bit1") return TensorModel::tr("Lossy: of each change the sign is stored, with one scale.");
    return {};
}

QString predictedFrom(const delta::TensorEstimate& t) {
    return t.how.empty() ? QString() : TensorModel::tr("predicted from %1 (%2)").arg(QString::fromStdString(t.base_tensor), QString::fromStdString(t.how));
}

void TensorModel::setEstimate(std::shared_ptr<const delta::EstimateSnapshot> estimate) {
    if (estimate == m_estimate) return;
    const bool same = estimate && m_estimate && sameRows(*estimate, *m_estimate);
    if (same) {
        m_estimate = std::move(estimate);
        if (!m_estimate->tensors.empty()) emit dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
        return;
    }
    beginResetModel();
    m_estimate = std::move(estimate);
    endResetModel();
}

void TensorModel::setErrors(std::shared_ptr<const std::map<std::string, double>> errors) {
    if (errors == m_errors) return;
    m_errors = std::move(errors);
    if (rowCount() > 0) emit dataChanged(index(0, TensorColumn::kError), index(rowCount() - 1, TensorColumn::kError));
}

double TensorModel::errorOf(const delta::TensorEstimate& t) const {
    if (!m_errors) return std::nan("");
    const auto it = m_errors->find(t.name);
    return it != m_errors->end() ? it->second : std::nan("");
}

int TensorModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() || !m_estimate ? 0 : static_cast<int>(m_estimate->tensors.size());
}
int TensorModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : TensorColumn::kCount; }

QVariant TensorModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole) return QVariant::fromValue(Qt::Alignment((numeric(section) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case TensorColumn::kTensor: return tr("Tensor");
        case TensorColumn::kShape: return tr("Shape");
        case TensorColumn::kChanged: return tr("Changed");
        case TensorColumn::kMethod: return tr("Method");
        case TensorColumn::kBits: return tr("Bit / weight");
        case TensorColumn::kError: return tr("Largest error");
        case TensorColumn::kRaw: return tr("Raw");
        case TensorColumn::kStored: return tr("Stored");
        default: return {};
    }
}

QString TensorModel::display(const delta::TensorEstimate& t, int column) const {
    const QString dash = QStringLiteral("\u2013");
    switch (column) {
        case TensorColumn::kTensor: return QString::fromStdString(t.name);
        case TensorColumn::kShape: {
            const auto label = dtype_label(t.dtype);
            return format::shape(t.shape) + u' ' + QString::fromLatin1(label.data(), static_cast<qsizetype>(label.size()));
        }
        case TensorColumn::kChanged: return unread(t) ? dash : (t.complete ? QString() : kApprox) + format::percent(t.changed_fraction * 100);
        case TensorColumn::kMethod: return methodText(t.method, t.rank);
        case TensorColumn::kBits: return unread(t) ? dash : (t.complete ? QString() : kApprox) + format::bitsPerWeight(bits(t));
        case TensorColumn::kError: {
            const double e = errorOf(t);
            return std::isnan(e) ? dash : e > 0 ? format::smallError(e) : tr("none");
        }
        case TensorColumn::kRaw: return format::bytes(static_cast<double>(t.raw_bytes));
        case TensorColumn::kStored:
            if (unread(t)) return dash;
            return t.complete ? format::bytes(t.estimated_bytes) : kApprox + format::bytes(t.estimated_bytes, 2);
        default: return {};
    }
}

QVariant TensorModel::sortKey(const delta::TensorEstimate& t, int column) const {
    switch (column) {
        case TensorColumn::kTensor: return QString::fromStdString(t.name);
        case TensorColumn::kShape: return elements(t);
        case TensorColumn::kChanged: return unread(t) ? std::nan("") : t.changed_fraction;
        case TensorColumn::kMethod: return QString::fromStdString(t.method);
        case TensorColumn::kBits: return unread(t) ? std::nan("") : bits(t);
        case TensorColumn::kError: return errorOf(t);
        case TensorColumn::kRaw: return static_cast<double>(t.raw_bytes);
        case TensorColumn::kStored: return unread(t) ? std::nan("") : t.estimated_bytes;
        default: return {};
    }
}

QVariant TensorModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
    const auto& t = m_estimate->tensors[static_cast<std::size_t>(index.row())];
    const int column = index.column();
    switch (role) {
        case Qt::DisplayRole: return display(t, column);
        case Qt::TextAlignmentRole: return QVariant::fromValue(Qt::Alignment((numeric(column) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
        case Qt::ToolTipRole:
            if (column == TensorColumn::kTensor) return t.how.empty() ? QString::fromStdString(t.name) : QString(QString::fromStdString(t.name) + u'\n' + predictedFrom(t));
            if (column == TensorColumn::kMethod) return methodHint(t.method);
            if (column == TensorColumn::kStored && !t.complete && !unread(t)) return tr("95 % range %1").arg(format::byteRange(t.low, t.high));
            return {};
        case kIdRole: return QString::fromStdString(t.name);
        case kSortRole: return sortKey(t, column);
        case kMutedRole: return column == TensorColumn::kShape || (unread(t) && column != TensorColumn::kTensor);
        case kMethodRole: return column == TensorColumn::kMethod && !t.method.empty() ? QVariant(QString::fromStdString(t.method)) : QVariant();
        default: return {};
    }
}

}  // namespace tenpak::app
