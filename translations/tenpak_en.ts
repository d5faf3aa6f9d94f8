<?xml version="1.0" encoding="utf-8"?>
<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
<!DOCTYPE TS>
<TS version="2.1" language="en_US">
<context>
    <name>tenpak::ui::LayerMap</name>
    <message numerus="yes">
        <source>%n tensor(s)</source>
        <translation>
            <numerusform>%n tensor</numerusform>
            <numerusform>%n tensors</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>This model has no numbered layers. Its %n largest tensor(s), stored of raw:</source>
        <translation>
            <numerusform>This model has no numbered layers. Its only tensor, stored of raw:</numerusform>
            <numerusform>This model has no numbered layers. Its %n largest tensors, stored of raw:</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::ui::SizeCard</name>
    <message numerus="yes">
        <source>Lossless, rebuilt and compared here: %1 of %n file(s) have the same SHA-256</source>
        <translation>
            <numerusform>Lossless, rebuilt and compared here: the file has the same SHA-256</numerusform>
            <numerusform>Lossless, rebuilt and compared here: %1 of %n files have the same SHA-256</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Not lossless: %1 of %n file(s) have the same SHA-256</source>
        <translation>
            <numerusform>Not lossless: the file has another SHA-256</numerusform>
            <numerusform>Not lossless: %1 of %n files have the same SHA-256</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>ArtifactsPage</name>
    <message numerus="yes">
        <source>%1 of %n file(s) have the SHA-256 of the original</source>
        <translation>
            <numerusform>%1 of %n file has the SHA-256 of the original</numerusform>
            <numerusform>%1 of %n files have the SHA-256 of the original</numerusform>
        </translation>
    </message>
</context>
</TS>
