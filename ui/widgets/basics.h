// SPDX-License-Identifier: GPL-3.0-or-later
// The small parts every page is made of: labels with a type and an ink, icons, hair lines, cards, buttons.
#pragma once
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>
#include <QWidget>

#include "app/view_states.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

enum class Ink { kText, kMuted, kOk, kWarn, kError, kAccent };
QColor inkColor(Ink ink);
Ink inkOf(app::Tone tone);
QColor tintOf(app::Tone tone);
QString iconOf(app::Tone tone);  ///< the icon that goes with a tone where nothing more exact is known

/// Text in a type and an ink; both follow the theme. Plain text always (names come from files).
class Label : public QLabel {
    Q_OBJECT
   public:
    explicit Label(const QString& text = {}, Type type = Type::kBody, Ink ink = Ink::kText, QWidget* parent = nullptr);
    void setInk(Ink ink);
    void setType(Type type);

   private:
    void applyTheme();
    Type m_type;
    Ink m_ink;
};

/// One line that gives way in the middle where room is short: for names of models and files only; the tool tip has all.
class NameLabel : public QWidget {
    Q_OBJECT
   public:
    explicit NameLabel(Type type = Type::kBodyStrong, Ink ink = Ink::kText, QWidget* parent = nullptr);
    void setText(const QString& text);
    QString text() const { return m_text; }
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QString m_text;
    Type m_type;
    Ink m_ink;
};

class IconLabel : public QWidget {
    Q_OBJECT
   public:
    IconLabel(const QString& name, int size, Ink ink, QWidget* parent = nullptr);
    void set(const QString& name, Ink ink);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QString m_name;
    int m_size;
    Ink m_ink;
};

/// A hair line across a card.
class Line : public QWidget {
    Q_OBJECT
   public:
    explicit Line(QWidget* parent = nullptr);

   protected:
    void paintEvent(QPaintEvent* event) override;
};

/// A surface with a hair line around it, and a vertical layout.
class Card : public QWidget {
    Q_OBJECT
   public:
    explicit Card(int padding = space::kL, QWidget* parent = nullptr);
    QVBoxLayout* box() const { return m_box; }

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QVBoxLayout* m_box;
};

enum class ButtonKind { kNormal, kPrimary, kQuiet, kSegment };
QPushButton* makeButton(const QString& objectName, const QString& text, const QString& icon = {}, ButtonKind kind = ButtonKind::kNormal);
/// Square, quiet; `name` is tool tip and accessible name.
QPushButton* makeIconButton(const QString& objectName, const QString& icon, const QString& name, int side = size::kHitTarget);
void setButtonIcon(QPushButton* button, const QString& icon);
void setButtonPrimary(QPushButton* button, bool primary);

/// Row layout with the spacing of the design and no margins.
QHBoxLayout* makeRow(int spacing = space::kS);
QVBoxLayout* makeColumn(int spacing = space::kS);
/// Hides and deletes (later: one of them may be the sender of the signal at work) every widget in `layout`.
void clearLayout(QLayout* layout);

}  // namespace tenpak::ui
