//! A page to be printed and given to patients, before the first message comes: how to know ours.

use askama::Template;

use crate::base::Language;

/// What the leaflet says of the clinic.
pub struct LeafletFacts<'a> {
    pub clinic: &'a str,
    pub phone: &'a str,
    /// The address that messages come from.
    pub from: &'a str,
    /// `https://r.clinic.example/r/`
    pub link_begins: &'a str,
    /// `https://r.clinic.example/check`
    pub check: &'a str,
}

/// The whole leaflet as one HTML file without anything to load.
///
/// # Errors
/// Ours: the template cannot be filled in.
pub fn leaflet(language: Language, facts: &LeafletFacts<'_>) -> Result<String, askama::Error> {
    let said = sentences(language);
    let clinic_says = said.intro.replace("{clinic}", facts.clinic);
    Leaflet { language: language.as_str(), said, intro: &clinic_says, facts }.render()
}

#[derive(Template)]
#[template(path = "notify/leaflet.html")]
struct Leaflet<'a> {
    language: &'a str,
    said: &'a Sentences,
    intro: &'a str,
    facts: &'a LeafletFacts<'a>,
}

struct Sentences {
    title: &'static str,
    intro: &'static str,
    how: &'static str,
    steps: [&'static str; 3],
    ours: &'static str,
    from: &'static str,
    link: &'static str,
    reference: &'static str,
    never: &'static str,
    nevers: [&'static str; 3],
    unsure: &'static str,
    check: &'static str,
    call: &'static str,
}

const fn sentences(language: Language) -> &'static Sentences {
    match language {
        Language::English => &ENGLISH,
        Language::Spanish => &SPANISH,
        Language::Polish => &POLISH,
        Language::German => &GERMAN,
        Language::French => &FRENCH,
    }
}

const ENGLISH: Sentences = Sentences {
    title: "Your documents by e-mail",
    intro: "{clinic} sends you documents by e-mail. The message holds no document, but a link that works for a limited time.",
    how: "How it works",
    steps: [
        "You get a short message. It says that a document is there, and nothing of what is in it.",
        "Press the link, and then the button on the page that opens.",
        "Read the document, save a copy if you like, and clear the page.",
    ],
    ours: "How you know our message",
    from: "It comes from",
    link: "Its link begins with",
    reference: "It ends with a reference of eight letters and digits, such as K7Q4-MD2X.",
    never: "What we never do",
    nevers: [
        "We never ask for a password, a card number or a payment.",
        "We never attach a file.",
        "We never ask you to install anything.",
    ],
    unsure: "If you are not sure",
    check: "Type the reference here, and we tell you whether the message is from us:",
    call: "Or call us:",
};

const SPANISH: Sentences = Sentences {
    title: "Sus documentos por correo electrónico",
    intro: "{clinic} le envía documentos por correo electrónico. El mensaje no contiene el documento, sino un enlace que funciona por tiempo limitado.",
    how: "Cómo funciona",
    steps: [
        "Recibe un mensaje breve. Dice que hay un documento, y nada de lo que contiene.",
        "Pulse el enlace y después el botón de la página que se abre.",
        "Lea el documento, guarde una copia si lo desea y borre la página.",
    ],
    ours: "Cómo reconocer nuestro mensaje",
    from: "Viene de",
    link: "Su enlace empieza por",
    reference: "Termina con una referencia de ocho letras y cifras, como K7Q4-MD2X.",
    never: "Lo que nunca hacemos",
    nevers: [
        "Nunca le pedimos una contraseña, un número de tarjeta ni un pago.",
        "Nunca adjuntamos archivos.",
        "Nunca le pedimos que instale nada.",
    ],
    unsure: "Si tiene dudas",
    check: "Escriba aquí la referencia y le diremos si el mensaje es nuestro:",
    call: "O llámenos:",
};

const POLISH: Sentences = Sentences {
    title: "Dokumenty przez e-mail",
    intro: "{clinic} wysyła dokumenty przez e-mail. W wiadomości nie ma dokumentu, jest tylko link, który działa przez pewien czas.",
    how: "Jak to działa",
    steps: [
        "Przychodzi krótka wiadomość. Mówi, że czeka dokument, i nic o tym, co zawiera.",
        "Należy nacisnąć link, a potem przycisk na stronie, która się otworzy.",
        "Dokument można przeczytać, zapisać jego kopię i usunąć go ze strony.",
    ],
    ours: "Po czym poznać naszą wiadomość",
    from: "Przychodzi z adresu",
    link: "Jej link zaczyna się od",
    reference: "Na końcu jest numer sprawy z ośmiu liter i cyfr, na przykład K7Q4-MD2X.",
    never: "Czego nigdy nie robimy",
    nevers: [
        "Nigdy nie prosimy o hasło, numer karty ani o zapłatę.",
        "Nigdy nie dołączamy plików.",
        "Nigdy nie prosimy o zainstalowanie czegokolwiek.",
    ],
    unsure: "W razie wątpliwości",
    check: "Tutaj można wpisać numer sprawy i sprawdzić, czy wiadomość jest od nas:",
    call: "Można też zadzwonić:",
};

const GERMAN: Sentences = Sentences {
    title: "Ihre Dokumente per E-Mail",
    intro: "{clinic} schickt Ihnen Dokumente per E-Mail. In der Nachricht steht kein Dokument, sondern ein Link, der für begrenzte Zeit gilt.",
    how: "So funktioniert es",
    steps: [
        "Sie bekommen eine kurze Nachricht. Darin steht, dass ein Dokument da ist, und nichts über seinen Inhalt.",
        "Tippen Sie auf den Link und dann auf die Schaltfläche auf der Seite, die sich öffnet.",
        "Lesen Sie das Dokument, speichern Sie bei Bedarf eine Kopie und leeren Sie die Seite.",
    ],
    ours: "So erkennen Sie unsere Nachricht",
    from: "Sie kommt von",
    link: "Ihr Link beginnt mit",
    reference: "Am Ende steht eine Kennung aus acht Buchstaben und Ziffern, zum Beispiel K7Q4-MD2X.",
    never: "Was wir nie tun",
    nevers: [
        "Wir fragen nie nach einem Passwort, einer Kartennummer oder nach Geld.",
        "Wir hängen nie eine Datei an.",
        "Wir bitten Sie nie, etwas zu installieren.",
    ],
    unsure: "Wenn Sie nicht sicher sind",
    check: "Geben Sie hier die Kennung ein, und wir sagen Ihnen, ob die Nachricht von uns ist:",
    call: "Oder rufen Sie uns an:",
};

const FRENCH: Sentences = Sentences {
    title: "Vos documents par e-mail",
    intro: "{clinic} vous envoie des documents par e-mail. Le message ne contient pas le document, mais un lien qui fonctionne pendant un temps limité.",
    how: "Comment ça marche",
    steps: [
        "Vous recevez un court message. Il dit qu’un document est là, et rien de ce qu’il contient.",
        "Appuyez sur le lien, puis sur le bouton de la page qui s’ouvre.",
        "Lisez le document, enregistrez une copie si vous le souhaitez et effacez la page.",
    ],
    ours: "Comment reconnaître notre message",
    from: "Il vient de",
    link: "Son lien commence par",
    reference: "Il se termine par une référence de huit lettres et chiffres, par exemple K7Q4-MD2X.",
    never: "Ce que nous ne faisons jamais",
    nevers: [
        "Nous ne demandons jamais de mot de passe, de numéro de carte ni de paiement.",
        "Nous ne joignons jamais de fichier.",
        "Nous ne vous demandons jamais d’installer quoi que ce soit.",
    ],
    unsure: "En cas de doute",
    check: "Saisissez ici la référence, et nous vous dirons si le message vient de nous\u{a0}:",
    call: "Ou appelez-nous\u{a0}:",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_a_leaflet_that_says_how_to_know_our_messages() {
        let facts = LeafletFacts {
            clinic: "Lakeside <Clinic>",
            phone: "+1 312 555 0148",
            from: "notices@lakeside.test",
            link_begins: "https://r.lakeside.test/r/",
            check: "https://r.lakeside.test/check",
        };
        for language in Language::ALL {
            let html = leaflet(language, &facts).unwrap();
            for said in ["&#60;Clinic&#62;", facts.phone, facts.from, facts.link_begins, facts.check, "K7Q4-MD2X"] {
                assert!(html.contains(said), "{language}: {said}");
            }
            assert!(html.contains(&format!("<html lang=\"{language}\">")) && !html.contains("{clinic}"), "{html}");
            assert!(!html.contains("src=") && !html.contains("<script") && !html.contains("url("));
        }
    }
}
