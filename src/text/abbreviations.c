/*
 * Words whose stop does not end a sentence. Written down from general knowledge of each language:
 * titles, ranks, references, months; not the ones that often stand at an end ("etc.").
 */
#include "text/sentences_internal.h"

#include <string.h>
#include <strings.h>

struct words {
    const char *language;
    const char *always;       /* each between two blanks */
    const char *before_digit; /* likewise */
    bool ordinals;
};

static const struct words table[] = {
    {"en",
     " Mr Mrs Ms Messrs Mmes Dr Prof Rev Fr Hon Pres Gov Sen Rep Gen Col Maj Capt Cpt Cmdr Lt Sgt "
     "Cpl Adm Brig St Mt Ft Jr Sr Esq vs v cf viz approx Inc Corp Ltd Co Bros Assn Dept Univ Supt "
     "Insp Atty Supp Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Ave Blvd Rd Hwy e.g i.e ",
     " No Nos no nos Art art p pp pg Vol vol Fig fig Figs Eq Sec sec Ch ch Ver ver ca c ", false},
    {"pt",
     " Sr Sra Srs Sras Srta Dr Dra Drs Dras Prof Profa Eng Enga Arq Exmo Exma Ilmo Ilma Exa Ex Rev "
     "Pe Fr Gen Cel Cap Ten Sgt Alm Pres Min Dep Sen Gov Des Av Al Pça Rod Cia Ltda Ltd Jr vs cf "
     "jan fev mar abr mai jun jul ago set out nov dez aprox v.g i.e p.ex D S Sto Sta ",
     " n nº art arts Art Arts p pp pg pág págs Pág vol Vol fig Fig cap Cap inc tel Tel séc c ",
     false},
    {"es",
     " Sr Sra Srs Sres Srta Dr Dra Drs Prof Profa Ing Arq Lic Ud Uds Vd Vds Exc Excmo Excma Ilmo "
     "Ilma Rev Gral Cnel Cap Tte Sgto Pdte Avda Av Dña D S Sto Sta Cía Ltda vs cf p.ej ene feb abr "
     "jun jul ago sept oct nov dic aprox ",
     " n núm art arts Art p pp pág págs vol Vol fig Fig cap Cap tel Tel ", false},
    {"fr",
     " M MM Mme Mmes Mlle Mlles Dr Drs Pr Prof Me Mgr St Ste Gén Col Cap Lt Cdt Cie Ste Bd Av vs "
     "cf "
     "c.-à-d p.ex env janv févr avr juil sept oct nov déc ",
     " no nos n art Art p pp vol Vol fig Fig chap tél Tél ", false},
    {"de",
     " Hr Fr Frl Dr Prof Dipl Ing Hrn Fam St Bgm Gen Hptm Lt Str Nr Abs Art Bd bzw ca d.h z.B u.a "
     "o.ä usw vgl evtl ggf inkl exkl geb gest verh Jan Feb Mrz Apr Jun Jul Aug Sep Sept Okt Nov "
     "Dez "
     "Mio Mrd Tel etw sog ",
     " S s ", true},
    {"it",
     " Sig Sigg Sigra Sig.ra Sig.na Dott Dr Dott.ssa Prof Prof.ssa Ing Arch Avv Geom Rag On Sen "
     "Gen "
     "Col Cap Ten Mons S Spett Egr Gent.mo Gent.ma vs cfr es gen feb mar apr mag giu lug ago set "
     "ott "
     "nov dic ",
     " n nn art artt Art p pp pag pagg vol Vol fig Fig cap tel Tel ", false},
    {"nl",
     " Dhr Mevr Mw Dr Drs Prof Ing Ir Mr Ds Gen Kol Kap Lt St Str bijv bv m.b.t o.a d.w.z ca evt "
     "incl excl jan feb mrt apr jun jul aug sept okt nov dec ",
     " nr nrs Nr art p pp blz vol fig hfst tel Tel ", false},
    {"da", " Hr Fr Dr Prof f.eks bl.a ca ", " nr s ", true},
    {"nb", " Hr Fr Dr Prof f.eks bl.a ca ", " nr s ", true},
    {"cs", " p pí Ing Mgr Bc Dr MUDr JUDr Prof doc tzv např č ", " č str s ", true},
    {"fi", " Hra Rva Dr Prof esim ns mm ", " s nro ", true},
    {"hu", " Dr Prof özv ifj id pl ", " sz ", true},
    {"sv", " Hr Fr Dr Prof t.ex bl.a ca ", " nr s ", false},
    {"pl", " p pp dr prof mgr inż gen płk kpt ks św np tzw ul al ", " nr str s ", false},
    {"ru", " г гг ул пр им проф акад т.е т.д т.п др см ср стр ", " № стр с п ", false},
};

static const struct words *find(const char *language) {
    size_t n = language ? strcspn(language, "-_") : 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strlen(table[i].language) == n && strncasecmp(table[i].language, language, n) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static bool holds(const char *list, const char *word, size_t n) {
    for (const char *p = list; *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (strncmp(p, word, n) == 0 && p[n] == ' ') {
            return true;
        }
    }
    return false;
}

enum bth_abbreviation bth_abbreviation(const char *language, const char *word, size_t n) {
    const struct words *w = find(language);
    if (!w || n == 0 || n > 16) {
        return BTH_ABBREVIATION_NONE;
    }
    if (holds(w->always, word, n)) {
        return BTH_ABBREVIATION_ALWAYS;
    }
    return holds(w->before_digit, word, n) ? BTH_ABBREVIATION_BEFORE_DIGIT : BTH_ABBREVIATION_NONE;
}

bool bth_stop_makes_ordinals(const char *language) {
    const struct words *w = find(language);
    return w && w->ordinals;
}
