"""Words that stand where an epithet or a genus would, and are none.

Gathered by hand from the terms of open nomenclature (Sigovini et al. 2016, doi:10.1111/2041-210X.12594), of plankton and museum
labels, and from names above the genus that collections use as labels. Words that are also epithets of species (bison, gorilla,
mola) are left out.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# cf., aff.: the specimen resembles the species that follows.
QUALIFIERS = _words("""
    cf c.f cfr conf confer aff affin nr near prope vel ? ?? (?) cf? aff?
""")

# sp., indet.: the writer says that the species is open. The genus stands.
UNDETERMINED = _words("""
    sp spp ssp sspp subsp species specie spec sps indet indeterminate ind undet undetermined unident unidentified
    unidentifiable unknown unknwon unspecified unclassified undescribed unnamed unplaced uncertain undefined incertae inc
    incert sedis n n.sp nsp nov.sp n.gen nov ined new gen genus gr ex
    group grp grex complex cplx agg aggr aggregate s.l sl s.lat s.s s.str sensu
    auct auctt type morph morpho morphs morphotype morphospecies morphosp msp form forms clade lineage cluster haplotype otu
    asv bin cryptic like other others mixed multiple several various hybrid hybrids hyb intermediate cv strain isolate serovar
""")

# Particles and connecting words of authors: "Limnodrilus de Vries".
PARTICLES = _words("""
    de da do dos das du del della delle dei degli di des den der det dem van von vom vander vonder zu zum zur af av auf ter
    ten te 't la le les lo las los el al bin ibn mc d in ex et and und y e & non nec not emend emended amend apud pro fil f
    filius fide bis ms
""")

# Of them, those that never begin an authorship: "Vulpes vulpes in snow".
CONNECTIVES = _words("in ex et and und y e & non nec not emend emended amend apud pro fil f filius fide bis ms")

# Behind an epithet: the specimen has two species for its parents.
CROSSES = _words("hybrid hybrids hyb hybr hibrid hybride intergrade intergrades crossbreed backcross")

# A stage, a sex or a part of the organism, not its name. The genus stands.
STAGES = _words("""
    larva larvae larval larvas nauplius nauplii naupli nauplia metanauplius metanauplii orthonauplius copepodite copepodites
    copepodid copepodids copepodit zoea zoeae zoeas protozoea protozoeae metazoea megalopa megalopae megalops mysid calyptopis
    furcilia cyprid cyprids cypris phyllosoma trochophore trochophora veliger veligers pediveliger pluteus plutei ophiopluteus
    echinopluteus bipinnaria brachiolaria doliolaria tornaria actinotroch actinotrocha actinula planula planulae ephyra
    ephyrae cyphonaute cyphonautes pilidium mitraria nectochaete nectochaeta metatrochophore polyp polyps medusa medusae
    hydroid hydroids nectophore nectophores bract bracts eudoxid eudoxids gonophore gonophores gonozooid oozooid siphonula egg
    eggs ovum ova oocyte embryo embryos juvenile juveniles juv juvs adult adults imago imagines immature immatures subadult
    pupa pupae puparium pupal nymph nymphs nymphal instar instars caterpillar exuvia exuviae exuvium moult molt male males
    female females worker workers queen soldier drone gyne cell cells filament filaments filamentous cyst cysts spore spores
    sporangium sporangia colony colonies chain chains trichome trichomes aggregates fragment fragments part parts piece pieces
    head heads tail tails body bodies antenna antennae leg legs wing wings shell shells skull skulls bone bones feather
    feathers tooth teeth seed seeds seedling seedlings flower flowers fruit fruits leaf leaves bark root roots pollen cone
    cones carcass carcasses feces faeces pellet pellets scat track tracks nest nests gall galls mine mines adulte adultes
    jeune jeunes oeuf oeufs larve larves mâle femelle œuf œufs ei eier weibchen männchen adulto adulta juvenil huevo huevos
    macho hembra ad imm chick chicks pullus pulli nestling nestlings fledgling fledglings tadpole tadpoles froglet kitten
    kittens pup pups cub cubs calf calves fawn fawns piglet piglets lambs duckling ducklings stage stages
    engorged unengorged fed unfed blood-fed bloodfed gravid pregnant lactating dirty clean side sides lateral dorsal ventral
    frontal anterior posterior view views habitus closeup close-up parasite parasites parasitized parasitised bloom blooms
    feral domestic domesticated captive tame dead alive live living dying roadkill sleeping swimming flying resting
    standing injured sick nomen nomina nom breeding nonbreeding non-breeding plumage
""")

# Names of taxa whose epithet is one of the words above or below.
EXCEPTIONS = frozenset(
    {
        *(("Paenibacillus", "larvae"), ("Bacillus", "larvae"), ("Opuntia", "tuna")),
        *(("Rabigus", "pullus"), ("Chlamydatus", "pullus"), ("Chorthippus", "pullus")),
    }
)

# Collective words for organisms and samples: neither a genus nor an epithet.
COLLECTIVES = _words("""
    bacterium bacteria archaeon archaeum fungus alga protist protists eukaryote prokaryote cyanobacterium endosymbiont
    symbiont metagenome clone environmental uncultured unculturable uncultivated sample samples organism organisms plant
    plants animal animals isolate specimen specimens individual individuals insect insects phytoplankton zooplankton plankton
    microalgae macroalgae diatom diatoms ciliate ciliates
    flagellate flagellates dinoflagellate dinoflagellates foraminiferan rotifer rotifers nematode nematodes
""")

# English words of descriptions and sentences.
ENGLISH = _words("""
    a an the and or with without from for of on in at by to as is are was were be been has have had not no like very some any
    all both each this that these those it its their there here possibly possible probably probable maybe perhaps likely
    unsure sure seen found near under over between among into than then when where which who whose one two three four five six
    seven eight nine ten many few more most much less large larger small smaller tiny big huge medium long longer short round
    oval thin thick flat dark light bright pale black white red green blue yellow brown grey gray orange pink purple
    transparent empty broken damaged blurry blurred unfocused multiple single double mixed other badly
    bad good old young spiny spotted striped common rare unknown test tests noise artefact artefacts artifact artifacts bubble
    bubbles fiber fibers fibre fibres detritus debris human humans person persons people man men woman women child children
    hiker hikers hunter hunters cyclist cyclists researcher researchers vehicle vehicles car cars truck trucks pickup pickups
    tractor bicycle bike bikes motorbike motorcycle picture pictures photo photos photograph image images video videos camera
    cameras blank blanks nothing setup set-up misfire nice great
    winter summer spring autumn wild
""")

# What English calls organisms, as the last word of a vernacular name or alone.
VERNACULAR = _words("""
    fish fishes shark sharks ray skate trout salmon cod herring mackerel tuna eel eels perch pike carp minnow chub dace
    catfish bass sunfish flatfish flounder sole halibut haddock hake whiting goby gobies wrasse grouper snapper bream anchovy
    sardine sprat pollock crab crabs shrimp shrimps prawn prawns lobster crayfish krill copepod copepods barnacle barnacles
    isopod isopods amphipod amphipods decapod decapods ostracod ostracods cladoceran cladocerans mysids euphausiid euphausiids
    crustacean crustaceans jellyfish jelly jellies hydromedusa siphonophore siphonophores ctenophore ctenophores anemone coral
    corals sponge sponges starfish urchin urchins seastar cucumber worm worms flatworm roundworm earthworm polychaete
    polychaetes oligochaete leech leeches snail snails slug slugs mussel mussels clam clams oyster oysters scallop squid
    cuttlefish limpet whelk cockle bivalve bivalves gastropod gastropods pteropod pteropods mollusc mollusk chaetognath
    chaetognaths salp salps doliolid doliolids appendicularian appendicularians larvacean tunicate fly flies gnat gnats midge
    midges mosquito mosquitoes beetle beetles weevil weevils ladybird ladybug butterfly butterflies moth moths skipper
    swallowtail fritillary hairstreak bee bees bumblebee bumblebees honeybee wasp wasps hornet hornets ant ants sawfly aphid
    aphids bug bugs cicada cicadas leafhopper grasshopper grasshoppers cricket crickets locust cockroach termite termites
    dragonfly dragonflies damselfly damselflies mayfly mayflies stonefly caddisfly lacewing thrips louse lice flea fleas
    earwig spider spiders mite mites tick ticks scorpion scorpions harvestman centipede millipede springtail woodlouse frog
    frogs toad toads newt salamander snake snakes viper adder lizard lizards gecko skink turtle turtles tortoise crocodile
    alligator bird birds duck ducks goose geese swan teal eider gull gulls tern terns skua auk guillemot puffin gannet
    cormorant pelican heron egret stork crane rail coot plover sandpiper curlew snipe pigeon dove parrot owl owls hawk hawks
    eagle eagles falcon kestrel kite buzzard vulture hummingbird woodpecker kingfisher swift swallow martin lark pipit wagtail
    wren robin thrush blackbird warbler chickadee nuthatch treecreeper shrike jay magpie crow raven starling sparrow finch
    bunting cardinal tanager oriole blackbirds hare rabbit rabbits squirrel squirrels mouse mice rat rats vole voles shrew
    mole hedgehog bat bats fox foxes wolf wolves dog dogs cat cats bear bears badger otter otters weasel stoat marten mink
    seal seals whale whales dolphin dolphins porpoise deer elk moose reindeer antelope goat goats sheep cow cows cattle horse
    horses pig pigs boar elephant monkey monkeys ape tree trees oak oaks maple birch beech pine pines spruce fir larch willow
    willows poplar ash elm linden alder hazel cherry apple pear plum grass grasses sedge rush reed fern ferns moss mosses
    lichen lichens mushroom mushrooms toadstool bolete orchid orchids rose roses lily lilies daisy dandelion thistle clover
    vetch buttercup violet primrose poppy mint nettle ivy heather seaweed kelp weed weeds herb shrub shrubs roux rousse commun
    blanc blanche noir noire brun brune vert verte bleu bleue gris grise jaune común comun negro negra blanco blanca rojo roja
    azul verde gemeine gemeiner
""")

# Capitalised words that begin a label and are no genus.
NO_GENUS = (
    _words("""
    the a an not no none gen genus sp spp species fam family order ordo class phylum kingdom tribe subfamily incertae cf aff
    nr near unknown unidentified indet indeterminate undetermined unclassified unplaced other others various mixed several
    multiple hybrid possible possibly probable probably candidate uncultured uncultivated environmental synthetic artificial
    common lesser greater great little giant dwarf pygmy northern southern eastern western central north south east west
    european american african asian australian atlantic pacific arctic antarctic mediterranean baltic indian chinese japanese
    mexican canadian german english british french spanish italian eurasian holarctic red black white green blue yellow brown
    grey gray golden silver orange pink purple pale dark bright spotted striped banded barred crested horned hooded winged
    field garden house wood forest water sea river lake marsh mountain desert tree ground night day sand rock stone wild
    domestic dead living live empty broken human tobacco bovine simian avian feline canine equine swine influenza hepatitis
    herpes gemeine gemeiner gewöhnliche gewöhnlicher petit petite grand grande gros grosse mésange renard gran pequeño animal
    plant insect marine terrestrial freshwater some any many all see new old young adult juvenile male female larva larvae
    nauplii nauplius egg eggs zoea medusa polyp colony bubbles fiber fibers vitamin
""")
    | VERNACULAR
    | COLLECTIVES
    | ENGLISH
) - _words("""
    ray ash sole rail kite martin jay cardinal robin crane pike bass
""")  # some are genera (Sole, Crane), or names of people

# Names above the genus that bear no ending of their own, or one that genera share.
ABOVE_GENUS = _words("""
    Acantharia Acanthocephala Acari Acarina Actiniaria Actinobacteria Actinopterygii Agnatha Algae Alveolata Amoebozoa
    Amphibia Amphipoda Angiospermae Animalia Annelida Anostraca Anthozoa Anura Aphragmophora Apicomplexa Apoidea
    Appendicularia Arachnida Araneae Archaea Arthropoda Ascidiacea Ascomycota Asteroidea Aves Bacteria Bacillariophyta
    Bacteroidetes Basidiomycota Bilateria Bivalvia Blattodea Brachiopoda Brachyura Branchiopoda Bryozoa Calanoida Carnivora
    Caudata Caudofoveata Cephalochordata Cephalopoda Cestoda Cetacea Chaetognatha Charophyta Chelicerata Chilopoda Chiroptera
    Chlorophyta Chondrichthyes Chordata Chromista Ciliata Ciliophora Cirripedia Cladocera Clitellata Cnidaria Coelenterata
    Coleoptera Collembola Coniferae Copelata Copepoda Corallinales Coronatae Crinoidea Crustacea Cryptophyta Ctenophora
    Cubozoa Cumacea Cyanobacteria Cyclopoida Decapoda Demospongiae Dermaptera Deuterostomia Dicotyledoneae Dictyoptera
    Dinoflagellata Dinophyta Diplopoda Diplostraca Diplura Diptera Doliolida Echinodermata Echinoidea Ectoprocta
    Elasmobranchii Embryophyta Entognatha Ephemeroptera Euarthropoda Eucarida Eukaryota Euglenozoa Eumalacostraca Euphausiacea
    Eutheria Firmicutes Foraminifera Fungi Gastropoda Gastrotricha Gnathostomata Gnathostomulida Gymnolaemata Gymnospermae
    Gymnosomata Haptophyta Harpacticoida Hemichordata Hemiptera Heteroptera Hexacorallia Hexapoda Hirudinea Holothuroidea
    Homoptera Hydracarina Hydroida Hydroidolina Hydrozoa Hymenoptera Insecta Insectivora Invertebrata Isopoda Isoptera
    Kinorhyncha Lagomorpha Larvacea Lepidoptera Leptostraca Leptothecata Limnomedusae Loricifera Magnoliophyta Magnoliopsida
    Malacostraca Mammalia Mandibulata Mantodea Marsupialia Maxillopoda Mecoptera Megaloptera Metazoa Microsporidia Mollusca
    Monocotyledoneae Monogenea Monotremata Multicrustacea Myriapoda Mysida Mysidacea Mystacocarida Myxozoa Narcomedusae
    Nematoda Nematomorpha Nemertea Neoptera Neuroptera Nudibranchia Octocorallia Odonata Oligochaeta Onychophora Ophiuroidea
    Opiliones Opisthobranchia Orthoptera Osteichthyes Ostracoda Passeriformes Pennatulacea Peracarida Phaeodaria Phaeophyta
    Pholidota Phoronida Phthiraptera Phylactolaemata Pinnipedia Pisces Placozoa Plantae Platyhelminthes Plecoptera Podocopida
    Poecilostomatoida Pogonophora Polychaeta Polycladida Polyplacophora Porifera Primates Proboscidea Prokaryota
    Proteobacteria Protista Protostomia Protozoa Protura Pseudoscorpiones Psocodea Psocoptera Pteridophyta Pterobranchia
    Pteropoda Pterygota Pulmonata Pycnogonida Pyrosomatida Radiolaria Reptilia Retaria Rhizaria Rhizocephala Rhodophyta
    Rodentia Rotatoria Rotifera Salpida Sarcopterygii Scaphopoda Scleractinia Scorpiones Scyphozoa Semaeostomeae Serpentes
    Siphonaptera Siphonophora Siphonophorae Siphonostomatoida Sipuncula Sirenia Solifugae Spermatophyta Squamata Staurozoa
    Stomatopoda Strepsiptera Stramenopiles Symphyta Synurophyceae Syndermata Tanaidacea Tardigrada Teleostei Testudines
    Tetrapoda Thaliacea Thecosomata Thysanoptera Thysanura Trachymedusae Tracheophyta Trematoda Trichoptera Trilobita Tunicata
    Turbellaria Ungulata Urochordata Urodela Vertebrata Viridiplantae Xenarthra Xenacoelomorpha Xiphosura Zoantharia
    Zooxanthellae Zygentoma
""")
# Endings that the codes of nomenclature fix for ranks above the genus: no genus has them.
FIXED_ENDINGS = ("idae", "inae", "aceae", "oideae", "ineae", "virales", "viridae")
# Endings that most names above the genus with them have, and some genera too (Brachyptera, Heteropoda, Pales).
USUAL_ENDINGS = (
    "oidea",
    "ales",
    "formes",
    "ptera",
    "poda",
    "oida",
    "zoa",
    "phyta",
    "phyceae",
    "mycetes",
    "mycota",
    "opsida",
    "morpha",
    "ini",
)
# "Chironomid larvae": anglicised names of groups.
ENGLISH_ENDINGS = ("id", "ids", "oid", "oids", "pod", "pods", "cean", "ceans", "zoan", "zoans")

# Marks of ranks below the species, and between genus and species.
RANKS_BELOW = _words("""
    subsp ssp subspecies var variety varietas v subvar f fo form forma fma subf subforma morph morpha ab aberr aberration
    nothosubsp
    nothovar nothof convar cvar prol proles race lusus m mut natio pv pathovar bv biovar fsp
""")
RANKS_ABOVE = _words("subg subgen subgenus sect section subsect ser series subser superspecies")
# "Taraxacum officinale agg.": several species under the name of one.
GROUPS = _words("gr agg aggr aggregate complex cplx group grp grex superspecies species spp")
AUCTORUM = _words("auct auctt auctorum")
OR = _words("or and und oder vs et y & + / ; |")
