// SPDX-License-Identifier: GPL-3.0-or-later
// The artifacts known to the project: name, kind and size, and the worst of the four answers as a pill.
#pragma once
#include <QAbstractListModel>
#include <QListView>
#include <QStyledItemDelegate>

#include "app/view_states.h"

namespace tenpak::ui {

struct TrustPill {
    app::Tone tone;
    QString icon, text;
};
TrustPill trustPill(app::Trust trust, const QString& signer);

class ArtifactListModel : public QAbstractListModel {
    Q_OBJECT
   public:
    using QAbstractListModel::QAbstractListModel;
    void setItems(const QList<app::ArtifactRow>& items);
    const app::ArtifactRow& item(int row) const { return m_items.at(row); }
    int rowCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;

   private:
    QList<app::ArtifactRow> m_items;
};

class ArtifactList : public QListView {
    Q_OBJECT
   public:
    explicit ArtifactList(QWidget* parent = nullptr);
    void setItems(const QList<app::ArtifactRow>& items, int current);

   signals:
    void currentChosen(int row);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    ArtifactListModel* m_model;
    bool m_setting = false;
};

}  // namespace tenpak::ui
